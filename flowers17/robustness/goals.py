"""The four goals of an attacker as measures over an attack's result.

All of them count only the images that the model classified correctly before: the others are
evidence neither for nor against an attack.
"""

from dataclasses import dataclass

import numpy as np

from flowers17.robustness.base import AttackResult, checked_labels, checked_targets

REFUSED = -1  # in the place of a class


@dataclass(frozen=True)
class Share:
    """How many of n images reached a goal."""

    n_reached: int
    n: int

    @property
    def rate(self) -> float:
        """The share in [0, 1]; NaN without images."""
        return self.n_reached / self.n if self.n else float("nan")


def robust_mask(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mask of the images that withstand each run: bool (n, runs).

    They are classified correctly before, and correctly or refused after.
    before, labels: int (n,); after: int (n, runs), predicted classes or REFUSED.
    """
    labels = checked_labels(labels, len(before), np.iinfo(np.int64).max)
    right = before == labels
    return np.asarray(right[:, None] & ((after == labels[:, None]) | (after == REFUSED)))


def confidence_reduction(result: AttackResult, labels: np.ndarray) -> float:
    """Mean drop of the label's probability, in [-1, 1], under an untargeted attack.

    Over the images that were classified correctly; NaN if none was. labels: int (n,), of the
    result's images. Raises InvalidInput for labels of another shape.
    """
    right = _right(result, labels)
    drop = result.confidence_before - result.confidence_after
    return float(drop[right].mean()) if right.any() else float("nan")


def misclassification(result: AttackResult, labels: np.ndarray) -> Share:
    """Images that were classified correctly and are misclassified after the attack.

    labels: int (n,), of the result's images. Raises InvalidInput for labels of another shape.
    """
    right = _right(result, labels)
    return _share(right & (result.predicted != labels), right)


def targeted_misclassification(
    result: AttackResult, labels: np.ndarray, targets: np.ndarray
) -> Share:
    """Images that were classified correctly and are predicted as their target after the attack.

    labels, targets: int (n,), different for each image. Raises InvalidInput if a target is the
    label, or a shape is not the result's.
    """
    right = _right(result, labels)
    targets = checked_targets(targets, labels, np.iinfo(np.int64).max)
    return _share(right & (result.predicted == targets), right)


def source_target_matrix(
    result: AttackResult, labels: np.ndarray, targets: np.ndarray, n_classes: int
) -> np.ndarray:
    """Images of each source class that are predicted as each target class after the attack.

    Returns int64 (2, n_classes, n_classes), by source (row) and target (column): images that
    reached their target, and all that were tried.

    labels, targets: int (n,), different for each image. Only images that were classified correctly
    count. Raises InvalidInput for labels or targets out of range.
    """
    labels = checked_labels(labels, len(result.predicted), n_classes)
    targets = checked_targets(targets, labels, n_classes)
    attempted = result.predicted_before == labels
    reached = attempted & (result.predicted == targets)
    counts = np.zeros((2, n_classes, n_classes), np.int64)
    for number, rows in enumerate((reached, attempted)):
        np.add.at(counts[number], (labels[rows], targets[rows]), 1)
    return counts


def _right(result: AttackResult, labels: np.ndarray) -> np.ndarray:
    labels = checked_labels(labels, len(result.predicted), np.iinfo(np.int64).max)
    return np.asarray(result.predicted_before == labels)


def _share(reached: np.ndarray, eligible: np.ndarray) -> Share:
    return Share(int(reached.sum()), int(eligible.sum()))
