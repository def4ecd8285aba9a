"""Projected gradient descent: many small steps, kept within a budget."""

from collections.abc import Callable
from functools import partial

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    Model,
    checked_budget,
    checked_count,
    checked_images,
    checked_labels,
    checked_targets,
    own_generator,
    probabilities,
    result,
)
from flowers17.robustness.fgsm import ascent_signs, stepped

# How far all steps together reach, in budgets: a start at one edge finds the other.
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
    random_start: bool = True,
    seed: int,
) -> AttackResult:
    """Perturb each image by steps along the sign of its loss gradient, within a budget.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    epsilon: L-infinity budget, at least 0; step: of one step, above 0, None: REACH budgets over
    n_steps; both in the units of the images. restarts: starts tried until one succeeds; of failures
    the one is kept that leaves the label the least probability, or the target the most.
    random_start: uniform within the budget, drawn from the seed and the image's content; else the
    image itself.
    n_queries, n_gradients: a restart takes n_steps gradients and one look at its end.
    Raises InvalidInput for images, labels, targets, budgets or counts out of range.
    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """
    epsilon = checked_budget(epsilon)
    n_steps, restarts = checked_count(n_steps, "n_steps"), checked_count(restarts, "restarts")
    if step is not None:
        step = checked_budget(step, "step", positive=True)
    if restarts > 1 and not random_start:
        raise InvalidInput(
            f"restarts: expected 1 without a random start, got {restarts}; they would all be the "
            "same"
        )
    images = checked_images(images)
    before = probabilities(model, images)
    n, n_classes = before.shape
    labels = checked_labels(labels, n, n_classes)
    if targets is not None:
        targets = checked_targets(targets, labels, n_classes)
    adversarial, after = images.copy(), before.copy()
    kept = np.full(n, -np.inf)
    n_starts = np.zeros(n, np.int64)
    going = np.arange(n)
    for number in range(restarts):
        wanted = None if targets is None else targets[going]
        starts = images[going]
        if random_start:
            starts = random_starts(starts, epsilon, seed, number)
        signs = partial(ascent_signs, model, labels=labels[going], targets=wanted)
        ends = projected(images[going], starts, signs, epsilon=epsilon, step=step, n_steps=n_steps)
        proba = probabilities(model, ends)
        reached, score = _judged(proba, labels[going], wanted)
        better = score > kept[going]
        rows = going[better]
        adversarial[rows], after[rows], kept[rows] = ends[better], proba[better], score[better]
        n_starts[going] += 1
        going = going[~reached]
        if not going.size:
            break
    return result(images, adversarial, labels, targets, before, after, n_starts, n_starts * n_steps)


def random_starts(images: np.ndarray, epsilon: float, seed: int, restart: int) -> np.ndarray:
    """Return images moved uniformly within a budget, each by its own draw: float32 (n, h, w, c)."""
    drawn = [own_generator(seed, one, "pgd", restart).uniform(-1, 1, one.shape) for one in images]
    return stepped(images, np.stack(drawn).astype(np.float32), epsilon)


def projected(
    images: np.ndarray,
    starts: np.ndarray,
    directions: Callable[[np.ndarray], np.ndarray],
    *,
    epsilon: float,
    step: float | None = None,
    n_steps: int,
) -> np.ndarray:
    """Return where steps lead from starts, kept within a budget of the images and in [0, 1].

    images, starts: float32 (n, h, w, c). directions: of the next step from where it is, at most 1
    in size. epsilon, step, n_steps: as of `pgd`, not checked. Returns float32 (n, h, w, c).
    """
    size = REACH * epsilon / n_steps if step is None else step
    low, high = images - np.float32(epsilon), images + np.float32(epsilon)
    moved = starts
    for _ in range(n_steps):
        moved = np.clip(stepped(moved, directions(moved), size), low, high)
    return moved


def _judged(
    proba: np.ndarray, labels: np.ndarray, targets: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each image succeeds, and how good it is; any success beats any failure."""
    rows, predicted = np.arange(len(proba)), proba.argmax(axis=1)
    if targets is None:
        reached, score = predicted != labels, -proba[rows, labels].astype(np.float64)
    else:
        reached, score = predicted == targets, proba[rows, targets].astype(np.float64)
    return reached, score + 2 * reached
