"""Projected gradient descent: many small steps, kept within a budget."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from flowers17.errors import InvalidInput
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
from flowers17.robustness.gradients import Loss

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
    restarts: int = 1,
    losses: Sequence[Loss] = ("cross_entropy",),
    random_start: bool = True,
    seed: int,
) -> AttackResult:
    """Perturb each image by steps along the sign of its loss gradient, within a budget.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    epsilon: L-infinity budget, at least 0; step: size of one step, above 0, None: REACH budgets
    over n_steps; both in the units of the images. restarts: runs by each of the losses at most,
    until one succeeds; of failed runs the result is that with the least probability of the label,
    or the most of the target. losses: in the order of the runs, as of `loss_gradients`.
    random_start: uniform within the budget, drawn from the seed and the image's content; else the
    image itself.
    n_queries, n_gradients: a restart takes n_steps gradients and one query of its last images.
    Raises InvalidInput for images, labels, targets, budgets or counts out of range.
    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """
    epsilon = checked_budget(epsilon)
    n_steps = checked_count(n_steps, "n_steps")
    if step is not None:
        step = checked_budget(step, "step", positive=True)
    if not losses:
        raise InvalidInput("losses: expected one or more, got none")
    if restarts > 1 and not random_start:
        raise InvalidInput(
            f"restarts: expected 1 without a random start, got {restarts}; they would all be the "
            "same"
        )
    images, before, labels, targets = checked_victims(model, images, labels, targets)
    n = len(images)
    adversarial, after = images.copy(), before.copy()
    best_score = np.full(n, -np.inf)
    n_starts = np.zeros(n, np.int64)
    active = np.arange(n)
    for run, (loss, _) in enumerate(product(losses, range(restarts))):
        active_targets = None if targets is None else targets[active]
        starts = images[active]
        if random_start:
            starts = random_starts(starts, epsilon, seed, run)
        signs = partial(
            ascent_signs, model, labels=labels[active], targets=active_targets, loss=loss
        )
        ends = projected_steps(
            images[active], starts, signs, epsilon=epsilon, step=step, n_steps=n_steps
        )
        proba = probabilities(model, ends)
        goals = labels[active] if active_targets is None else active_targets
        hits, score = proba.argmax(axis=1) == goals, proba[np.arange(len(goals)), goals]
        succeeded, score = (~hits, -score) if active_targets is None else (hits, score)
        score = score + 2.0 * succeeded  # any success beats any failure
        better = score > best_score[active]
        rows = active[better]
        adversarial[rows], after[rows] = ends[better], proba[better]
        best_score[rows] = score[better]
        n_starts[active] += 1
        active = active[~succeeded]
        if not active.size:
            break
    n_gradients = n_starts * n_steps
    return attack_result(images, adversarial, labels, targets, before, after, n_starts, n_gradients)


def fgsm_and_pgd(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    budgets: Sequence[float],
    *,
    targets: np.ndarray | None = None,
    **search: Any,
) -> list[AttackResult]:
    """Results of FGSM at each budget, then of PGD at each; arguments as of `pgd`."""
    longer = [
        pgd(model, images, labels, epsilon=budget, targets=targets, **search) for budget in budgets
    ]
    return fgsm(model, images, labels, epsilons=budgets, targets=targets) + longer


def random_starts(images: np.ndarray, epsilon: float, seed: int, run: int) -> np.ndarray:
    """Images perturbed uniformly within a budget, by seed and content: float32 (n, h, w, c)."""
    offsets = [
        image_generator(seed, image, "pgd", run).uniform(-1, 1, image.shape) for image in images
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
