"""One step of a budget: along the sign of the loss gradient, or in a random direction.

The fast gradient sign method, and random noise, the baseline that every attack has to exceed.
"""

from collections.abc import Sequence

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    Model,
    attack_result,
    checked_budget,
    checked_victims,
    image_generator,
    probabilities,
)
from flowers17.robustness.gradients import Loss, loss_gradients


def fgsm(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilons: Sequence[float] | np.ndarray,
    targets: np.ndarray | None = None,
) -> list[AttackResult]:
    """Perturb each image once along the sign of its loss gradient, within each budget.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    With targets, the step goes against the gradient of the target's loss.
    epsilons: L-infinity budgets in the units of the images, at least 0; their results, one each,
    come all from one gradient.
    Raises InvalidInput for images, labels, targets or budgets out of range.
    Source: Goodfellow et al. 2015, arXiv:1412.6572, section 4.
    """
    budgets = [checked_budget(epsilon) for epsilon in epsilons]
    if not budgets:
        raise InvalidInput("epsilons: expected at least one budget, got none")
    images, before, labels, targets = checked_victims(model, images, labels, targets)
    signs = ascent_signs(model, images, labels, targets)
    results = []
    for budget in budgets:
        adversarial = clipped_step(images, signs, budget)
        after = probabilities(model, adversarial)
        results.append(attack_result(images, adversarial, labels, targets, before, after, 1, 1))
    return results


def ascent_signs(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    loss: Loss = "cross_entropy",
) -> np.ndarray:
    """Signs of the step that raises the label's loss, or lowers the target's.

    Returns float32 (n, h, w, c), each -1, 0 or 1.
    """
    if targets is None:
        return np.sign(loss_gradients(model, images, labels, loss))
    return -np.sign(loss_gradients(model, images, targets, loss))


def clipped_step(images: np.ndarray, directions: np.ndarray, size: float) -> np.ndarray:
    """Images after a step of a size along directions, clipped to [0, 1]: float32 (n, h, w, c)."""
    return np.clip(images + np.float32(size) * directions, np.float32(0), np.float32(1))


def random_noise(
    model: Model, images: np.ndarray, labels: np.ndarray, *, epsilon: float, seed: int
) -> AttackResult:
    """Perturb each feature by plus or minus a budget, with random sign.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilon: L-infinity budget, 0 or more.
    The signs come from the seed and the image's content, and are the same for every budget.
    Raises InvalidInput for images, labels or a budget out of range.
    """
    epsilon = checked_budget(epsilon)
    images, before, labels, _ = checked_victims(model, images, labels)
    adversarial = clipped_step(images, random_signs(images, seed), epsilon)
    after = probabilities(model, adversarial)
    return attack_result(images, adversarial, labels, None, before, after, 1, 0)


def random_signs(images: np.ndarray, seed: int) -> np.ndarray:
    """Random sign of each feature, -1 or 1, by seed and image: float32 (n, h, w, c)."""
    coins = [image_generator(seed, image, "noise").integers(0, 2, image.shape) for image in images]
    return (2 * np.stack(coins) - 1).astype(np.float32)
