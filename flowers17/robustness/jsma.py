"""The Jacobian-based saliency map attack: the few features that matter most, up to their limit."""

import math
from typing import Literal, get_args

import keras
import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    checked_images,
    checked_targets,
    probabilities,
    result,
)
from flowers17.robustness.gradients import jacobian_and_logits, loss_gradients_and_logits

Variant = Literal["pairwise", "single"]

NONE = -1
AT_ONCE = 64  # small images: each is done after steps of its own, and its place is still computed
BLOCK = 512  # members of a pair compared with all others at a time


def jsma(
    model: keras.Model,
    images: np.ndarray,
    targets: np.ndarray,
    *,
    theta: float = 1.0,
    gamma: float = 0.145,
    variant: Variant = "pairwise",
) -> AttackResult:
    """Change the most salient features of each image, two a step, until it passes for its target.

    images: float32 (n, h, w, c) in [0, 1]; a feature is one channel of one pixel.
    targets: int (n,); an image that passes for its target from the start is left alone.
    theta: what a step adds to a feature, in [-1, 1] and not zero; values stay in [0, 1], and one at
    its limit is out of the search. gamma: the share of features that may change, in (0, 1]; never
    more than ⌊gamma · features⌋ do.
    variant: "pairwise" takes, of all pairs whose logit gradients, added up, favour the target and
    disfavour the other classes together, the one with the largest product, and gives an image up
    that has none. "single" takes the two largest gradients of the target's log-probability,
    whatever their sign, and one where only one more feature may change.
    n_queries: an image's steps and one. n_gradients: its backward passes, one a step and one that
    finds it done; as many for each class if pairwise.
    Raises InvalidInput for images, targets, theta, gamma or variant out of range.
    Source: Papernot et al. 2016, arXiv:1511.07528, equations 8 and 9, algorithms 2 and 3.
    """
    images = checked_images(images)
    _check_settings(theta, gamma, variant)
    before = probabilities(model, images)
    n_images, n_classes = before.shape
    targets = checked_targets(targets, None, n_classes, n=n_images)
    made = images.reshape(n_images, -1).copy()
    changed = np.zeros(made.shape, bool)
    most = math.floor(gamma * made.shape[1])
    n_queries = np.ones(n_images, np.int64)
    n_gradients = np.zeros(n_images, np.int64)
    going = np.flatnonzero(before.argmax(axis=1) != targets)
    while len(going):
        room = most - changed[going].sum(axis=1)
        free = made[going] < 1 if theta > 0 else made[going] > 0
        free &= changed[going] | (room > 0)[:, None]
        open_ = free.any(axis=1)
        going, room, free = going[open_], room[open_], free[open_]
        if not len(going):
            break
        now = made[going].reshape(-1, *images.shape[1:])
        if variant == "single":
            slopes, logits = loss_gradients_and_logits(model, now, targets[going], most=AT_ONCE)
            slopes = -np.sign(theta) * slopes.reshape(len(going), -1)
            picks = largest_two(slopes, free, changed[going], room)
            n_gradients[going] += 1
        else:
            by_class, logits = jacobian_and_logits(model, now, most=AT_ONCE)
            by_class = np.sign(theta) * by_class.reshape(len(going), n_classes, -1)
            gains = by_class[np.arange(len(going)), targets[going]]
            rows = zip(gains, gains - by_class.sum(axis=1), free, changed[going], room, strict=True)
            picks = np.array([salient_pair(*row) for row in rows])
            n_gradients[going] += n_classes
        found = (picks[:, 0] != NONE) & (logits.argmax(axis=1) != targets[going])
        going, picks = going[found], picks[found]
        for pick in picks.T:
            rows, features = going[pick != NONE], pick[pick != NONE]
            made[rows, features] = np.clip(made[rows, features] + np.float32(theta), 0, 1)
            changed[rows, features] = True
        n_queries[going] += 1
    adversarial = made.reshape(images.shape)
    after = probabilities(model, adversarial)
    return result(images, adversarial, None, targets, before, after, n_queries, n_gradients)


def largest_two(
    slopes: np.ndarray, free: np.ndarray, changed: np.ndarray, room: np.ndarray
) -> np.ndarray:
    """Return each row's two features with the largest slope, best first: int (n, 2), -1 for none.

    slopes: float (n, f). free, changed: bool (n, f): what may be picked; what has changed before.
    room: int (n,): how many more features may change. Of equal slopes the first feature counts.
    """
    rows = np.arange(len(slopes))
    slopes = np.where(free, slopes, -np.inf)
    first = slopes.argmax(axis=1)
    slopes[rows, first] = -np.inf
    second = slopes.argmax(axis=1)
    n_new = (~changed[rows, first]).astype(int) + ~changed[rows, second]
    both = (slopes[rows, second] > -np.inf) & (n_new <= room)
    return np.stack([np.where(free.any(axis=1), first, NONE), np.where(both, second, NONE)], axis=1)


def salient_pair(
    gains: np.ndarray, harms: np.ndarray, free: np.ndarray, changed: np.ndarray, room: int
) -> tuple[int, int]:
    """Return the pair p < q with the largest (gₚ + g_q)(hₚ + h_q), both sums positive, else -1, -1.

    gains, harms: float (f,), a feature's gradient for the target, and against the other classes.
    free, changed: bool (f,), as for `largest_two`. A feature that two others of its kind equal or
    exceed in both gain and harm is in no better pair than they are: few have to be compared.
    """
    old, new = np.flatnonzero(free & changed), np.flatnonzero(free & ~changed)
    rivals = np.sort(
        np.concatenate([one[_hardly_exceeded(gains[one], harms[one])] for one in (old, new)])
    )
    gain, harm = gains[rivals].astype(np.float64), harms[rivals].astype(np.float64)
    is_new = ~changed[rivals]
    best, pair = 0.0, (NONE, NONE)
    for start in range(0, len(rivals), BLOCK):
        part = slice(start, start + BLOCK)
        total_gain, total_harm = gain[part, None] + gain, harm[part, None] + harm
        allowed = np.arange(len(rivals)) > np.arange(len(rivals))[part, None]
        allowed &= is_new[part, None].astype(int) + is_new <= room
        allowed &= (total_gain > 0) & (total_harm > 0)
        products = np.where(allowed, total_gain * total_harm, 0)
        row, column = np.unravel_index(products.argmax(), products.shape)
        if products[row, column] > best:
            best = products[row, column]
            pair = int(rivals[start + row]), int(rivals[column])
    return pair


def _hardly_exceeded(gains: np.ndarray, harms: np.ndarray) -> np.ndarray:
    """Return the points, int (k,), that fewer than two others equal or exceed in both."""
    if len(gains) < 2:
        return np.arange(len(gains))
    order = np.argsort(-gains, kind="stable")
    ranked = harms[order]
    largest = np.maximum.accumulate(ranked)
    # Of all before a point, the second largest: the largest of those that lost to another.
    second = np.maximum.accumulate(np.minimum(ranked[1:], largest[:-1]))
    return order[np.concatenate([[True, True], ranked[2:] > second[:-1]])]


def _check_settings(theta: float, gamma: float, variant: str) -> None:
    if not 0 < abs(theta) <= 1:
        raise InvalidInput(f"theta: expected a number in [-1, 1] other than 0, got {theta}")
    if not 0 < gamma <= 1:
        raise InvalidInput(f"gamma: expected a share of the features in (0, 1], got {gamma}")
    if variant not in get_args(Variant):
        raise InvalidInput(f"variant: expected {' or '.join(get_args(Variant))}, got {variant!r}")
