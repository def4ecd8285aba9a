"""The fast gradient sign method: one step along the sign of the loss gradient."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    Model,
    attack_result,
    checked_budget,
    checked_images,
    checked_labels,
    checked_targets,
    probabilities,
)
from flowers17.robustness.gradients import loss_gradients


@overload
def fgsm(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float,
    targets: np.ndarray | None = None,
) -> AttackResult: ...


@overload
def fgsm(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: Sequence[float] | np.ndarray,
    targets: np.ndarray | None = None,
) -> list[AttackResult]: ...


def fgsm(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float | Sequence[float] | np.ndarray,
    targets: np.ndarray | None = None,
) -> AttackResult | list[AttackResult]:
    """Perturb each image once along the sign of its loss gradient.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    With targets, the step goes against the gradient of the target's loss.
    epsilon: L-infinity budget in the units of the images, at least 0. Several give a list of
    results, all from one gradient.
    Raises InvalidInput for images, labels, targets or budgets out of range.
    Source: Goodfellow et al. 2015, arXiv:1412.6572, section 4.
    """
    several = isinstance(epsilon, Sequence | np.ndarray)
    budgets = [checked_budget(budget) for budget in np.atleast_1d(np.asarray(epsilon, object))]
    if not budgets:
        raise InvalidInput("epsilon: expected at least one budget, got none")
    images = checked_images(images)
    before = probabilities(model, images)
    labels = checked_labels(labels, len(images), before.shape[1])
    if targets is not None:
        targets = checked_targets(targets, labels, before.shape[1])
    signs = ascent_signs(model, images, labels, targets)
    results = []
    for budget in budgets:
        adversarial = clipped_step(images, signs, budget)
        after = probabilities(model, adversarial)
        results.append(attack_result(images, adversarial, labels, targets, before, after, 1, 1))
    return results if several else results[0]


def ascent_signs(
    model: Model, images: np.ndarray, labels: np.ndarray, targets: np.ndarray | None
) -> np.ndarray:
    """Signs of the step that raises the label's loss, or lowers the target's.

    Returns float32 (n, h, w, c), each -1, 0 or 1.
    """
    if targets is None:
        return np.sign(loss_gradients(model, images, labels))
    return -np.sign(loss_gradients(model, images, targets))


def clipped_step(images: np.ndarray, directions: np.ndarray, size: float) -> np.ndarray:
    """Images after a step of a size along directions, clipped to [0, 1]: float32 (n, h, w, c)."""
    return np.clip(images + np.float32(size) * directions, np.float32(0), np.float32(1))
