"""Groups of images put on two sides, so that each class comes nearest to its number.

Groups within a class are chosen exactly. Groups that span classes go first: of several
assignments of them, the one that lets the classes come nearest to their numbers.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.seeds import generator

N_ATTEMPTS = 200

_Groups = list[np.ndarray]


def division(
    labels: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    seed: int,
    class_names: Sequence[str],
    first: np.ndarray | None = None,
) -> np.ndarray:
    """Return a mask of validation images, bool (n,): whole groups, about `targets` images a class.

    labels: int (n,), 0 ≤ label < n_classes; groups: int (n,); targets: int (n_classes,).
    class_names: of the classes, for messages. first: bool (n,), images that come before others in
    the order drawn.
    Raises InvalidInput if the groups leave a class without images on one side.
    """
    n_images = np.bincount(labels)
    within: list[_Groups] = [[] for _ in targets]
    spanning: _Groups = []
    is_early: list[bool] = []
    for group, share in _drawn_groups(labels, groups, targets, seed, first):
        label = int(labels[group[0]])
        if (labels[group] == label).all():
            within[label].append(group)
        else:
            spanning.append(group)
            is_early.append(share > 0.5)
    reachable = [_reachable_sums([len(group) for group in own]) for own in within]
    is_validation = np.zeros(len(labels), bool)
    n_own: list[int | None] = []
    n_fewest: float = np.inf  # images by which targets are missed
    fraction, rng = float(targets.sum() / n_images.sum()), generator(seed, "spanning")
    attempts = (rng.random(len(spanning)) < fraction for _ in range(N_ATTEMPTS))
    for sides in chain([np.array(is_early, bool)], attempts if spanning else ()):
        is_spanning = np.zeros(len(labels), bool)
        for group, side in zip(spanning, sides, strict=True):
            is_spanning[group] = side
        n_spanning = np.bincount(labels[is_spanning], minlength=len(targets))
        totals, n_missed = _own_images(targets - n_spanning, n_images, n_spanning, reachable)
        if n_missed < n_fewest:
            n_fewest, n_own, is_validation = n_missed, totals, is_spanning
        if n_fewest == 0:
            break
    for label, total in enumerate(n_own):
        if total is None:
            raise InvalidInput(
                f"class {class_names[label]}: its {n_images[label]} images cannot be divided, "
                "since near-duplicates and groups stay on one side; add images of other scenes, "
                "leave the class out, or, if its images only look alike, set "
                "splits.near_duplicates to identical or none"
            )
        for group in _first_groups(within[label], total):
            is_validation[group] = True
    return is_validation


def _own_images(
    n_needed: np.ndarray, n_images: np.ndarray, n_spanning: np.ndarray, reachable: _Groups
) -> tuple[list[int | None], int]:
    """Validation images from groups within each class, and images by which they miss the needed.

    None where no number leaves images of the class on both sides: all of its images are missed.
    """
    n_own: list[int | None] = []
    n_missed = 0
    for needed, n, n_others, sums in zip(n_needed, n_images, n_spanning, reachable, strict=True):
        totals = np.flatnonzero(sums)
        totals = totals[(totals >= 1 - n_others) & (totals <= n - 1 - n_others)]
        distances = np.abs(totals - needed)
        n_own.append(int(totals[distances.argmin()]) if len(totals) else None)
        n_missed += int(distances.min() if len(totals) else n)
    return n_own, n_missed


def _drawn_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    seed: int,
    first: np.ndarray | None,
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield each group's rows, in the order drawn, and their share among the first to validate."""
    members: dict[int, list[int]] = {}
    is_early = np.zeros(len(labels), bool)
    for label, target in enumerate(targets):
        drawn = generator(seed, "class", label).permutation(np.flatnonzero(labels == label))
        if first is not None:
            drawn = drawn[np.argsort(~first[drawn], kind="stable")]
        is_early[drawn[:target]] = True
        for row in drawn.tolist():
            members.setdefault(int(groups[row]), []).append(row)
    for rows in members.values():
        yield np.array(rows), float(is_early[rows].mean())


def _reachable_sums(sizes: Sequence[int]) -> np.ndarray:
    """Mask of the totals that subsets of the sizes add up to, bool (sum + 1,)."""
    reachable = np.zeros(sum(sizes) + 1, bool)
    reachable[0] = True
    for size in sizes:
        if size > 1:
            reachable[size:] |= reachable[:-size].copy()
    n_single = sum(size == 1 for size in sizes)
    # A total is reachable if one at most `n_single` below it is.
    n_reachable = np.concatenate([np.zeros(n_single + 1, int), np.cumsum(reachable)])
    return n_reachable[n_single + 1 :] > n_reachable[: len(reachable)]


def _first_groups(groups: _Groups, total: int) -> _Groups:
    """Return the first groups that add up to a total, passing over those that would miss it."""
    remaining = total
    later_sums: list[int] = [1]  # bit s of entry k: the last k groups of several add up to s
    for group in reversed(groups):
        if len(group) > 1:
            later_sums.append(later_sums[-1] | later_sums[-1] << len(group))
    n_single = sum(len(group) == 1 for group in groups)
    chosen = []
    for group in groups:
        if len(group) > 1:
            later_sums.pop()
        else:
            n_single -= 1
        remainder = remaining - len(group)
        if remainder >= 0 and _is_reachable(later_sums[-1], n_single, remainder):
            chosen.append(group)
            remaining = remainder
    return chosen


def _is_reachable(sums: int, n_single: int, total: int) -> bool:
    """Whether one of the sums (a set of bits) and at most `n_single` more make a total."""
    width = min(n_single, total) + 1
    return bool(sums >> (total + 1 - width) & ((1 << width) - 1))
