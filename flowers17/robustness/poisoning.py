"""Poisoning: a share of the training images with wrong labels, or with a patch that opens a door.

Both leave the validation images alone. What a backdoor does shows on copies of them that bear the
patch; they stand behind the data set's own images, in no part of the split.
Source: Biggio et al. 2011, ACML (wrong labels); Gu et al. 2017, arXiv:1708.06733 (patch).
"""

from dataclasses import dataclass

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import checked_labels
from flowers17.robustness.goals import Share
from flowers17.seeds import generator

CELL = 2  # pixels; a side of one square of the chequered patch
WHITE, BLACK = 255, 0


@dataclass(frozen=True)
class Poisoned:
    """A data set after poisoning.

    images: uint8 (n, h, w, 3). labels: int64 (n,). rows: int64, those poisoned, ascending.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


def with_flipped_labels(
    images: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    share: float,
    n_classes: int,
    seed: int,
) -> Poisoned:
    """Give a share of the rows another label each, drawn evenly from the other classes.

    images: uint8 (n, h, w, 3). labels: int (n,). rows: int, those trained on. share: in [0, 1]; of
    each class as nearly as can be. Less of one seed is part of more.
    Raises InvalidInput for arrays, a share or labels out of range.
    """
    labels = _checked(images, labels, rows, share, n_classes)
    chosen = _drawn(labels, rows, share, seed)
    flipped = labels.copy()
    for row in chosen:
        step = generator(seed, "flip", int(row)).integers(1, n_classes)
        flipped[row] = (labels[row] + step) % n_classes
    return Poisoned(images, flipped, np.sort(chosen))


def with_backdoor(
    images: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    share: float,
    target: int,
    size: int,
    n_classes: int,
    seed: int,
) -> Poisoned:
    """Put a patch on a share of the rows, and give them the target's label.

    share: of all rows, in [0, 1]; those of the target itself are left alone, and the others take
    their places. size: side of the patch in pixels. Otherwise as `with_flipped_labels`.
    Raises InvalidInput also for a target out of range, or a share that the others cannot fill.
    """
    labels = _checked(images, labels, rows, share, n_classes)
    checked_labels(np.array([target]), 1, n_classes, name="target")
    others = rows[labels[rows] != target]
    wanted = round(share * len(rows))
    if wanted > len(others):
        raise InvalidInput(
            f"share: expected at most {len(others) / len(rows):.3g}, the images of other classes "
            f"than the target, got {share:g}"
        )
    chosen = _drawn(labels, others, wanted / len(others), seed) if len(others) else others
    opened, marked = labels.copy(), images.copy()
    opened[chosen] = target
    marked[chosen] = patched(images[chosen], size)
    return Poisoned(marked, opened, np.sort(chosen))


def patched(images: np.ndarray, size: int) -> np.ndarray:
    """Return images with a chequered square in the lower right corner: uint8 (n, h, w, 3).

    images: uint8 (n, h, w, 3). size: side of the square in pixels.
    Raises InvalidInput for other images, or a square that is not smaller than they are.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not 1 <= size < min(images.shape[1:3]):
        raise InvalidInput(
            "images: expected uint8 (n, h, w, 3) and a patch smaller than they are, got "
            f"{images.dtype} {images.shape} and {size} pixels"
        )
    down, across = np.indices((size, size)) // CELL
    square = np.where((down + across) % 2 == 0, WHITE, BLACK).astype(np.uint8)
    marked = images.copy()
    marked[:, -size:, -size:] = square[:, :, None]
    return marked


def clean_accuracy(predicted: np.ndarray, labels: np.ndarray) -> Share:
    """Return how many images without a patch are predicted right; both int (n,)."""
    labels = checked_labels(labels, len(predicted), np.iinfo(np.int64).max)
    return Share(int((predicted == labels).sum()), len(labels))


def backdoor_success(predicted: np.ndarray, labels: np.ndarray, target: int) -> Share:
    """Return how many images with the patch, of other classes, are taken for the target.

    predicted: int (n,), of images with the patch. labels: int (n,), their true classes.
    """
    labels = checked_labels(labels, len(predicted), np.iinfo(np.int64).max)
    others = labels != target
    return Share(int((others & (predicted == target)).sum()), int(others.sum()))


def _checked(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray, share: float, n_classes: int
) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InvalidInput(
            f"images: expected uint8 (n, h, w, 3), got {images.dtype} {images.shape}"
        )
    labels = checked_labels(labels, len(images), n_classes)
    checked_labels(rows, len(rows), len(images), name="rows")
    if not 0 <= share <= 1:
        raise InvalidInput(f"share: expected a number from 0 to 1, got {share!r}")
    return labels


def _drawn(labels: np.ndarray, rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return a share of the rows, class by class in turn, in the order drawn."""
    turns = np.empty(len(rows), np.float64)
    for label in np.unique(labels[rows]):
        places = np.flatnonzero(labels[rows] == label)
        order = generator(seed, "poisoned", int(label)).permutation(len(places))
        turns[places] = (order + 0.5) / len(places)
    return rows[np.lexsort((labels[rows], turns))][: round(share * len(rows))]
