"""Groups of images put on two sides, so that each class comes nearest to its number.

Groups within a class are chosen exactly. Groups that span classes go first: of several
assignments of them, the one that lets the classes come nearest to their numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.seeds import generator

N_ATTEMPTS = 200

_Groups = list[np.ndarray]


@dataclass(frozen=True)
class _Assignment:
    """An assignment of the spanning groups to sides, and each class's own validation images.

    sides: bool, True for validation. n_own: validation images from groups within each class, None
    where no number leaves images on both sides. n_missed: images by which targets are missed.
    """

    sides: np.ndarray
    n_own: list[int | None]
    n_missed: int


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
    best: _Assignment | None = None
    for sides in _sides(np.array(is_early, bool), float(targets.sum() / n_images.sum()), seed):
        assignment = _assignment(sides, spanning, labels, targets, n_images, reachable)
        if best is None or assignment.n_missed < best.n_missed:
            best = assignment
        if best.n_missed == 0:
            break
    is_validation = np.zeros(len(labels), bool)
    if best is None:
        return is_validation
    for group, side in zip(spanning, best.sides, strict=True):
        is_validation[group] = side
    for label, total in enumerate(best.n_own):
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


def _assignment(
    sides: np.ndarray,
    spanning: _Groups,
    labels: np.ndarray,
    targets: np.ndarray,
    n_images: np.ndarray,
    reachable: list[np.ndarray],
) -> _Assignment:
    rows = [row for group, side in zip(spanning, sides, strict=True) if side for row in group]
    n_spanning = np.bincount(labels[np.array(rows, int)], minlength=len(targets))
    n_own, n_missed = [], 0
    for label, sums in enumerate(reachable):
        n_needed = int(targets[label] - n_spanning[label])
        low, high = 1 - int(n_spanning[label]), int(n_images[label] - 1 - n_spanning[label])
        nearest = _nearest_sum(sums, n_needed, low, high)
        n_own.append(nearest)
        n_missed += int(n_images[label]) if nearest is None else abs(nearest - n_needed)
    return _Assignment(sides, n_own, n_missed)


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


def _sides(first: np.ndarray, fraction: float, seed: int) -> Iterator[np.ndarray]:
    """Yield assignments of groups to sides, True for validation: `first`, then random ones."""
    yield first
    if len(first):
        rng = generator(seed, "spanning")
        for _ in range(N_ATTEMPTS):
            yield rng.random(len(first)) < fraction


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


def _nearest_sum(reachable: np.ndarray, target: int, low: int, high: int) -> int | None:
    """Return the reachable total in low..high that is nearest to the target, or None."""
    totals = np.flatnonzero(reachable)
    totals = totals[(totals >= low) & (totals <= high)]
    return int(totals[np.abs(totals - target).argmin()]) if len(totals) else None


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
