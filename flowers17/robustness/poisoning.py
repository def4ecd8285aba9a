"""Poisoning: a share of the training images gets wrong labels, or a patch as a backdoor trigger.

Validation images stay clean. A backdoor is measured on copies of them with the patch; these follow
the data set's images, in no part of the split.
Source: Biggio et al. 2011, ACML (wrong labels); Gu et al. 2017, arXiv:1708.06733 (patch).
"""

from dataclasses import dataclass

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import checked_labels
from flowers17.seeds import generator

CELL = 2  # pixels; a side of one square of the chequered patch
WHITE, BLACK = 255, 0


@dataclass(frozen=True)
class PoisonedData:
    """A data set after poisoning.

    images: uint8 (n, h, w, 3). labels: int64 (n,). rows: int64, the poisoned images, ascending.
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
) -> PoisonedData:
    """Flip the labels of a share of the rows, each to another class drawn uniformly.

    images: uint8 (n, h, w, 3). labels: int (n,). rows: int, the training images. share: in [0, 1];
    of each class as nearly as possible. A smaller share of the same seed is part of a larger one.
    Raises InvalidInput for arrays, a share or labels out of range.
    """
    labels = _checked(images, labels, rows, share, n_classes)
    poisoned_rows = _sampled_rows(labels, rows, share, seed)
    flipped = labels.copy()
    for row in poisoned_rows:
        step = generator(seed, "flip", int(row)).integers(1, n_classes)
        flipped[row] = (labels[row] + step) % n_classes
    return PoisonedData(images, flipped, np.sort(poisoned_rows))


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
) -> PoisonedData:
    """Put a patch on a share of the rows, and label them as the target class.

    share: of all rows, in [0, 1], taken from the rows of other classes than the target.
    size: side of the patch in pixels. Otherwise as `with_flipped_labels`.
    Raises InvalidInput also for a target out of range, or a share larger than the other classes.
    """
    labels = _checked(images, labels, rows, share, n_classes)
    checked_labels(np.array([target]), 1, n_classes, name="target")
    other_rows = rows[labels[rows] != target]
    n_poisoned = round(share * len(rows))
    if n_poisoned > len(other_rows):
        raise InvalidInput(
            f"share: expected at most {len(other_rows) / len(rows):.3g}, the images of other "
            f"classes than the target, got {share:g}"
        )
    poisoned_rows = other_rows
    if len(other_rows):
        poisoned_rows = _sampled_rows(labels, other_rows, n_poisoned / len(other_rows), seed)
    poisoned_labels, poisoned_images = labels.copy(), images.copy()
    poisoned_labels[poisoned_rows] = target
    poisoned_images[poisoned_rows] = patched(images[poisoned_rows], size)
    return PoisonedData(poisoned_images, poisoned_labels, np.sort(poisoned_rows))


def patched(images: np.ndarray, size: int) -> np.ndarray:
    """Images with a chequered square in the lower right corner: uint8 (n, h, w, 3).

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
    copies = images.copy()
    copies[:, -size:, -size:] = square[:, :, None]
    return copies


def predicted_counts(
    predicted: np.ndarray, labels: np.ndarray, with_patch: np.ndarray | None, target: int
) -> dict[str, int]:
    """Images classified correctly, and those of other classes that open the backdoor, as JSON.

    predicted, with_patch: int (n,), classes of the images without a patch, and of their copies with
    it (None: there are none). labels: int (n,), true classes.
    """
    counts = {"n": len(labels), "n_right": int((predicted == labels).sum())}
    if with_patch is not None:
        others = labels != target
        counts["n_others"] = int(others.sum())
        counts["n_opened"] = int((others & (with_patch == target)).sum())
    return counts


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


def _sampled_rows(labels: np.ndarray, rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Sample of a share of the rows, class by class in turn, in the order drawn."""
    turns = np.empty(len(rows), np.float64)
    for label in np.unique(labels[rows]):
        members = np.flatnonzero(labels[rows] == label)
        order = generator(seed, "poisoned", int(label)).permutation(len(members))
        turns[members] = (order + 0.5) / len(members)
    return rows[np.lexsort((labels[rows], turns))][: round(share * len(rows))]
