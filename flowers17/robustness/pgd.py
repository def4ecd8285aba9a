"""Projected gradient descent: many small steps, kept within a budget."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from flowers17.robustness.base import (
    AttackResult,
    Model,
    attack_result,
    checked_budget,
    checked_count,
    checked_victims,
    image_generator,
    probabilities,
)
from flowers17.robustness.fgsm import ascent_signs, clipped_step, fgsm

# The reach of all steps together, in budgets: from one edge of the ball past the other.
REACH = 2.5


def pgd(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float,
    step: float | None = None,
    n_steps: int,
    targets: np.ndarray | None = None,
    random_start: bool = True,
    seed: int,
) -> AttackResult:
    """Perturb each image by steps along the sign of its loss gradient, within a budget.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    epsilon: L-infinity budget, at least 0; step: size of one step, above 0, None: REACH budgets
    over n_steps; both in the units of the images. random_start: uniform within the budget, drawn
    from the seed and the image's content; else the image itself.
    n_queries, n_gradients: one query of the last image, and n_steps gradients.
    Raises InvalidInput for images, labels, targets, budgets or counts out of range.
    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """
    epsilon = checked_budget(epsilon)
    n_steps = checked_count(n_steps, "n_steps")
    if step is not None:
        step = checked_budget(step, "step", positive=True)
    images, before, labels, targets = checked_victims(model, images, labels, targets)
    adversarial = projected_steps(
        images,
        random_starts(images, epsilon, seed) if random_start else images,
        partial(ascent_signs, model, labels=labels, targets=targets),
        epsilon=epsilon,
        step=step,
        n_steps=n_steps,
    )
    after = probabilities(model, adversarial)
    return attack_result(images, adversarial, labels, targets, before, after, 1, n_steps)


def fgsm_and_pgd(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    budgets: Sequence[float],
    *,
    n_steps: int,
    targets: np.ndarray | None = None,
    seed: int,
) -> list[AttackResult]:
    """Results of FGSM at each budget, then of PGD at each; arguments as of `pgd`."""
    longer = [
        pgd(model, images, labels, epsilon=budget, n_steps=n_steps, targets=targets, seed=seed)
        for budget in budgets
    ]
    return fgsm(model, images, labels, epsilons=budgets, targets=targets) + longer


def random_starts(images: np.ndarray, epsilon: float, seed: int) -> np.ndarray:
    """Images perturbed uniformly within a budget, by seed and content: float32 (n, h, w, c)."""
    offsets = [
        image_generator(seed, image, "pgd", 0).uniform(-1, 1, image.shape) for image in images
    ]
    return clipped_step(images, np.stack(offsets).astype(np.float32), epsilon)


def projected_steps(
    images: np.ndarray,
    starts: np.ndarray,
    directions: Callable[[np.ndarray], np.ndarray],
    *,
    epsilon: float,
    step: float | None = None,
    n_steps: int,
) -> np.ndarray:
    """Images after n steps, each projected onto the L-infinity ball and [0, 1]: (n, h, w, c).

    images, starts: float32 (n, h, w, c). directions: from perturbed images to their next step,
    each value in [-1, 1]. epsilon, step, n_steps: as of `pgd`, not checked.
    """
    size = REACH * epsilon / n_steps if step is None else step
    low, high = images - np.float32(epsilon), images + np.float32(epsilon)
    perturbed = starts
    for _ in range(n_steps):
        perturbed = np.clip(clipped_step(perturbed, directions(perturbed), size), low, high)
    return perturbed
