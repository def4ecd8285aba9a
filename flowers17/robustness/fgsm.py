"""The fast gradient sign method: one step along the sign of the loss gradient."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    Model,
    checked_budget,
    checked_images,
    checked_labels,
    checked_targets,
    probabilities,
    result,
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
    budgets = [checked_budget(one) for one in np.atleast_1d(np.asarray(epsilon, object))]
    if not budgets:
        raise InvalidInput("epsilon: expected at least one budget, got none")
    images = checked_images(images)
    before = probabilities(model, images)
    labels = checked_labels(labels, len(images), before.shape[1])
    if targets is not None:
        targets = checked_targets(targets, labels, before.shape[1])
    signs = ascent_signs(model, images, labels, targets)
    found = []
    for budget in budgets:
        adversarial = stepped(images, signs, budget)
        after = probabilities(model, adversarial)
        found.append(result(images, adversarial, labels, targets, before, after, 1, 1))
    return found if several else found[0]


def ascent_signs(
    model: Model, images: np.ndarray, labels: np.ndarray, targets: np.ndarray | None
) -> np.ndarray:
    """Return the signs of the steps that raise the label's loss, or lower the target's.

    float32 (n, h, w, c), each -1, 0 or 1.
    """
    if targets is None:
        return np.sign(loss_gradients(model, images, labels))
    return -np.sign(loss_gradients(model, images, targets))


def stepped(images: np.ndarray, signs: np.ndarray, size: float) -> np.ndarray:
    """Return images moved by a step along signs, clipped to [0, 1]: float32 (n, h, w, c)."""
    return np.clip(images + np.float32(size) * signs, np.float32(0), np.float32(1))
