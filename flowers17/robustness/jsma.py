"""The Jacobian-based saliency map attack: few features, each perturbed up to its limit."""

import math
from typing import Literal, get_args

import keras
import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    attack_result,
    checked_images,
    checked_labels,
    probabilities,
)
from flowers17.robustness.gradients import jacobian_and_logits, loss_gradients_and_logits

Variant = Literal["pairwise", "single"]
Saliency = Literal["logits", "probabilities"]

NONE = -1
BATCH_SIZE = 64  # small: an image that is finished is still computed until its batch is
BLOCK = 512  # members of a pair compared with all others at a time


def jsma(
    model: keras.Model,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    theta: float = 1.0,
    gamma: float = 0.145,
    variant: Variant = "pairwise",
    saliency: Saliency = "logits",
) -> AttackResult:
    """Perturb the most salient features of each image, two a step, until the attack succeeds.

    A saliency map scores each feature by the gradients of the classes' outputs: for the target's,
    and against the sum of the others'.
    images: float32 (n, h, w, c) in [0, 1]; a feature is one channel of one pixel.
    targets: int (n,); an image that is predicted as its target from the start is left alone.
    theta: perturbation of a feature in a step, in [-1, 1] and not zero; values stay in [0, 1], and
    a feature at its limit leaves the search. gamma: budget, the share of features that may change,
    in (0, 1]; never more than ⌊gamma · features⌋ do.
    variant: "pairwise" takes the pair with the largest product of the two summed gradients, among
    pairs for which both sums are positive; an image without such a pair fails. "single" takes the
    two largest gradients of the target's log-probability, whatever their sign, and one where only
    one more feature may change.
    saliency: the outputs of "pairwise". "probabilities" is the paper's equation 8, whose F is the
    softmax's output. Probabilities have the sum 1, so the gradients of the other classes sum to
    minus the target's, and the product is the square of the target's gain: the pairs are those of
    "single" as long as they gain. "logits" weighs the other classes; on MNIST it succeeds less
    often, since its pairs use up the budget. Gradients of log-probabilities stand for those of
    probabilities: they have the same direction, and do not vanish in float32.
    n_queries: an image's steps and one. n_gradients: its backward passes, one a step and one that
    detects success; as many for each class if pairwise on logits.
    Raises InvalidInput for images, targets, theta, gamma, variant or saliency out of range.
    Source: Papernot et al. 2016, arXiv:1511.07528, equations 8 and 9, algorithms 2 and 3.
    """
    images = checked_images(images)
    _check_settings(theta, gamma, variant, saliency)
    before = probabilities(model, images)
    n_images, n_classes = before.shape
    targets = checked_labels(targets, n_images, n_classes, name="targets")
    perturbed = images.reshape(n_images, -1).copy()
    changed = np.zeros(perturbed.shape, bool)
    max_changed = math.floor(gamma * perturbed.shape[1])
    n_queries = np.ones(n_images, np.int64)
    n_gradients = np.zeros(n_images, np.int64)
    active = np.flatnonzero(before.argmax(axis=1) != targets)
    while len(active):
        n_left = max_changed - changed[active].sum(axis=1)
        free = perturbed[active] < 1 if theta > 0 else perturbed[active] > 0
        free &= changed[active] | (n_left > 0)[:, None]
        searchable = free.any(axis=1)
        active, free = active[searchable], free[searchable]
        n_left = n_left[searchable]
        if not len(active):
            break
        current = perturbed[active].reshape(-1, *images.shape[1:])
        if variant == "pairwise" and saliency == "logits":
            jacobian, logits = jacobian_and_logits(model, current, max_size=BATCH_SIZE)
            jacobian = np.sign(theta) * jacobian.reshape(len(active), n_classes, -1)
            gains = jacobian[np.arange(len(active)), targets[active]]
            harms = gains - jacobian.sum(axis=1)
            n_gradients[active] += n_classes
        else:
            slopes, logits = loss_gradients_and_logits(
                model, current, targets[active], max_size=BATCH_SIZE
            )
            gains = harms = -np.sign(theta) * slopes.reshape(len(active), -1)
            n_gradients[active] += 1
        if variant == "single":
            selected = largest_two(gains, free, changed[active], n_left)
        else:
            maps = zip(gains, harms, free, changed[active], n_left, strict=True)
            selected = np.array([salient_pair(*features) for features in maps])
        advancing = (selected[:, 0] != NONE) & (logits.argmax(axis=1) != targets[active])
        active, selected = active[advancing], selected[advancing]
        for column in selected.T:
            rows, features = active[column != NONE], column[column != NONE]
            perturbed[rows, features] = np.clip(perturbed[rows, features] + np.float32(theta), 0, 1)
            changed[rows, features] = True
        n_queries[active] += 1
    adversarial = perturbed.reshape(images.shape)
    after = probabilities(model, adversarial)
    return attack_result(
        images, adversarial, targets, targets, before, after, n_queries, n_gradients
    )


def largest_two(
    slopes: np.ndarray, free: np.ndarray, changed: np.ndarray, n_left: np.ndarray
) -> np.ndarray:
    """Each row's two features with the largest slope, best first: int (n, 2), -1 for none.

    slopes: float (n, f). free, changed: bool (n, f), features in the search, and changed before.
    n_left: int (n,), further features that may change. Of equal slopes the first feature counts.
    """
    rows = np.arange(len(slopes))
    slopes = np.where(free, slopes, -np.inf)
    first = slopes.argmax(axis=1)
    slopes[rows, first] = -np.inf
    second = slopes.argmax(axis=1)
    n_new = (~changed[rows, first]).astype(int) + ~changed[rows, second]
    paired = (slopes[rows, second] > -np.inf) & (n_new <= n_left)
    first = np.where(free.any(axis=1), first, NONE)
    return np.stack([first, np.where(paired, second, NONE)], axis=1)


def salient_pair(
    gains: np.ndarray,
    harms: np.ndarray,
    free: np.ndarray,
    changed: np.ndarray,
    n_left: int,
) -> tuple[int, int]:
    """Pair p < q with the largest (gₚ + g_q)(hₚ + h_q), both sums positive, else -1, -1.

    gains, harms: float (f,), a feature's gradient for the target, and against the other classes.
    free, changed: bool (f,), as for `largest_two`. A feature that two others, both changed
    before or both unchanged as it is, equal or exceed in gain and harm is in no better pair than
    they are: few have to be compared.
    """
    groups = [np.flatnonzero(free & mask) for mask in (changed, ~changed)]
    candidates = np.sort(
        np.concatenate([group[_nearly_undominated(gains[group], harms[group])] for group in groups])
    )
    gain, harm = gains[candidates].astype(np.float64), harms[candidates].astype(np.float64)
    is_new = ~changed[candidates]
    best, pair = 0.0, (NONE, NONE)
    for start in range(0, len(candidates), BLOCK):
        part = slice(start, start + BLOCK)
        total_gain, total_harm = gain[part, None] + gain, harm[part, None] + harm
        allowed = np.arange(len(candidates)) > np.arange(len(candidates))[part, None]
        allowed &= is_new[part, None].astype(int) + is_new <= n_left
        allowed &= (total_gain > 0) & (total_harm > 0)
        products = np.where(allowed, total_gain * total_harm, 0)
        row, column = np.unravel_index(products.argmax(), products.shape)
        if products[row, column] > best:
            best = products[row, column]
            pair = int(candidates[start + row]), int(candidates[column])
    return pair


def _nearly_undominated(gains: np.ndarray, harms: np.ndarray) -> np.ndarray:
    """Points that fewer than two others equal or exceed in gain and harm: int (k,)."""
    if len(gains) < 2:
        return np.arange(len(gains))
    order = np.argsort(-gains, kind="stable")
    ranked = harms[order]
    largest = np.maximum.accumulate(ranked)
    # The second largest of all points before: the largest of those that another point exceeds.
    second = np.maximum.accumulate(np.minimum(ranked[1:], largest[:-1]))
    return order[np.concatenate([[True, True], ranked[2:] > second[:-1]])]


def _check_settings(theta: float, gamma: float, variant: str, saliency: str) -> None:
    if not 0 < abs(theta) <= 1:
        raise InvalidInput(f"theta: expected a number in [-1, 1] other than 0, got {theta}")
    if not 0 < gamma <= 1:
        raise InvalidInput(f"gamma: expected a share of the features in (0, 1], got {gamma}")
    for name, value, choices in (
        ("variant", variant, get_args(Variant)),
        ("saliency", saliency, get_args(Saliency)),
    ):
        if value not in choices:
            raise InvalidInput(f"{name}: expected {' or '.join(choices)}, got {value!r}")
