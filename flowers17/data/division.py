"""Groups of images put on two sides, so that each class comes nearest to its number.

Groups within a class are chosen exactly. Groups that span classes go first: of several ways to
put them on sides, the one that lets the classes come nearest to their numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.seeds import generator

N_ATTEMPTS = 200

_Groups = list[np.ndarray]


@dataclass(frozen=True)
class _Way:
    """One way to put the spanning groups on sides, and what each class then adds of its own.

    sides: bool, True for validation. own: validation images from groups within each class, None
    where no number leaves images on both sides. miss: images by which targets are missed.
    """

    sides: np.ndarray
    own: list[int | None]
    miss: int


def division(
    labels: np.ndarray, groups: np.ndarray, targets: np.ndarray, seed: int, called: Sequence[str]
) -> np.ndarray:
    """Return which images validate, bool (n,): whole groups, `targets` images a class or nearly.

    labels: int (n,), 0 ≤ label < n_classes; groups: int (n,); targets: int (n_classes,).
    called: what messages call each class.
    Raises InvalidInput if the groups leave a class without images on one side.
    """
    n_images = np.bincount(labels)
    within: list[_Groups] = [[] for _ in targets]
    spanning: _Groups = []
    is_early: list[bool] = []
    for group, share in _drawn_groups(labels, groups, targets, seed):
        label = int(labels[group[0]])
        if (labels[group] == label).all():
            within[label].append(group)
        else:
            spanning.append(group)
            is_early.append(share > 0.5)
    reachable = [_reachable_sums([len(group) for group in own]) for own in within]
    best: _Way | None = None
    for sides in _sides(np.array(is_early, bool), float(targets.sum() / n_images.sum()), seed):
        way = _way(sides, spanning, labels, targets, n_images, reachable)
        if best is None or way.miss < best.miss:
            best = way
        if best.miss == 0:
            break
    is_validation = np.zeros(len(labels), bool)
    if best is None:
        return is_validation
    for group, side in zip(spanning, best.sides, strict=True):
        is_validation[group] = side
    for label, total in enumerate(best.own):
        if total is None:
            raise InvalidInput(
                f"class {called[label]}: its {n_images[label]} images cannot be divided without "
                "near-duplicates on both sides; add images of other scenes, leave the class out, "
                "or, if its images only look alike, set splits.near_duplicates to identical or none"
            )
        for group in _first_groups(within[label], total):
            is_validation[group] = True
    return is_validation


def _way(
    sides: np.ndarray,
    spanning: _Groups,
    labels: np.ndarray,
    targets: np.ndarray,
    n_images: np.ndarray,
    reachable: list[np.ndarray],
) -> _Way:
    rows = [row for group, side in zip(spanning, sides, strict=True) if side for row in group]
    given = np.bincount(labels[np.array(rows, int)], minlength=len(targets))
    own, miss = [], 0
    for label, sums in enumerate(reachable):
        wanted = int(targets[label] - given[label])
        low, high = 1 - int(given[label]), int(n_images[label] - 1 - given[label])
        nearest = _nearest_sum(sums, wanted, low, high)
        own.append(nearest)
        miss += int(n_images[label]) if nearest is None else abs(nearest - wanted)
    return _Way(sides, own, miss)


def _drawn_groups(
    labels: np.ndarray, groups: np.ndarray, targets: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield each group's rows, in the order drawn, and their share among the first to validate."""
    members: dict[int, list[int]] = {}
    is_early = np.zeros(len(labels), bool)
    for label, target in enumerate(targets):
        drawn = generator(seed, "class", label).permutation(np.flatnonzero(labels == label))
        is_early[drawn[:target]] = True
        for row in drawn.tolist():
            members.setdefault(int(groups[row]), []).append(row)
    for rows in members.values():
        yield np.array(rows), float(is_early[rows].mean())


def _sides(first: np.ndarray, fraction: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ways to put groups on sides, True for validation: `first`, then random ones."""
    yield first
    if len(first):
        rng = generator(seed, "spanning")
        for _ in range(N_ATTEMPTS):
            yield rng.random(len(first)) < fraction


def _reachable_sums(sizes: Sequence[int]) -> np.ndarray:
    """Return which totals some of the sizes add up to, bool (sum + 1,)."""
    reachable = np.zeros(sum(sizes) + 1, bool)
    reachable[0] = True
    for size in sizes:
        if size > 1:
            reachable[size:] |= reachable[:-size].copy()
    n_single = sum(size == 1 for size in sizes)
    # A total is reachable if one at most `n_single` below it is.
    before = np.concatenate([np.zeros(n_single + 1, int), np.cumsum(reachable)])
    return before[n_single + 1 :] > before[: len(reachable)]


def _nearest_sum(reachable: np.ndarray, target: int, low: int, high: int) -> int | None:
    """Return the reachable total in low..high that is nearest to the target, or None."""
    totals = np.flatnonzero(reachable)
    totals = totals[(totals >= low) & (totals <= high)]
    return int(totals[np.abs(totals - target).argmin()]) if len(totals) else None


def _first_groups(groups: _Groups, total: int) -> _Groups:
    """Return the first groups that add up to a total, passing over those that would miss it."""
    left = total
    later: list[int] = [1]  # bit s of entry k: the last k groups of several add up to s
    for group in reversed(groups):
        if len(group) > 1:
            later.append(later[-1] | later[-1] << len(group))
    n_single = sum(len(group) == 1 for group in groups)
    taken = []
    for group in groups:
        if len(group) > 1:
            later.pop()
        else:
            n_single -= 1
        rest = left - len(group)
        if rest >= 0 and _is_reachable(later[-1], n_single, rest):
            taken.append(group)
            left = rest
    return taken


def _is_reachable(sums: int, n_single: int, total: int) -> bool:
    """Tell whether one of the sums (a set of bits), and at most `n_single` more, make a total."""
    width = min(n_single, total) + 1
    return bool(sums >> (total + 1 - width) & ((1 << width) - 1))
