"""The four goals of an attacker as measures over an attack's result.

All of them count the images that the model had right before, and no others: what is wrong already
speaks neither for nor against an attack.
"""

from dataclasses import dataclass

import numpy as np

from flowers17.robustness.base import AttackResult, checked_labels, checked_targets


@dataclass(frozen=True)
class Share:
    """How many of n images reached a goal."""

    n_reached: int
    n: int

    @property
    def rate(self) -> float:
        """The share in [0, 1]; NaN of no images."""
        return self.n_reached / self.n if self.n else float("nan")


@dataclass(frozen=True)
class SourceTarget:
    """By source class (row) and target class (column): int64 (n_classes, n_classes)."""

    n_reached: np.ndarray
    n: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """The shares, float64 in [0, 1]; NaN where nothing was tried."""
        tried = np.where(self.n > 0, self.n, 1)
        return np.where(self.n > 0, self.n_reached / tried, np.nan)


def confidence_reduction(result: AttackResult, labels: np.ndarray) -> float:
    """Return the mean drop of the label's probability, in [-1, 1]; of an untargeted attack.

    Of the images that the model had right; NaN if it had none. labels: int (n,). Raises
    InvalidInput if they are not the result's.
    """
    right = _right(result, labels)
    drop = result.confidence_before - result.confidence_after
    return float(drop[right].mean()) if right.any() else float("nan")


def misclassification(result: AttackResult, labels: np.ndarray) -> Share:
    """Return how many of the images that the model had right it has wrong after the attack.

    labels: int (n,). Raises InvalidInput if they are not the result's.
    """
    right = _right(result, labels)
    return _share(right & (result.predicted != labels), right)


def targeted_misclassification(
    result: AttackResult, labels: np.ndarray, targets: np.ndarray
) -> Share:
    """Return how many of the images that the model had right it takes for their target afterwards.

    labels, targets: int (n,), other than each other. Raises InvalidInput if they are not, or not
    the result's.
    """
    right = _right(result, labels)
    targets = checked_targets(targets, labels, np.iinfo(np.int64).max)
    return _share(right & (result.predicted == targets), right)


def source_target_matrix(
    result: AttackResult, labels: np.ndarray, targets: np.ndarray, n_classes: int
) -> SourceTarget:
    """Return, for each pair of classes, how many images of the one pass for the other.

    labels, targets: int (n,), other than each other. Only images that the model had right count.
    Raises InvalidInput for labels or targets out of range.
    """
    labels = checked_labels(labels, len(result.predicted), n_classes)
    targets = checked_targets(targets, labels, n_classes)
    tried = result.predicted_before == labels
    reached = tried & (result.predicted == targets)
    counts = np.zeros((2, n_classes, n_classes), np.int64)
    for number, rows in enumerate((reached, tried)):
        np.add.at(counts[number], (labels[rows], targets[rows]), 1)
    return SourceTarget(n_reached=counts[0], n=counts[1])


def _right(result: AttackResult, labels: np.ndarray) -> np.ndarray:
    labels = checked_labels(labels, len(result.predicted), np.iinfo(np.int64).max)
    return np.asarray(result.predicted_before == labels)


def _share(reached: np.ndarray, of: np.ndarray) -> Share:
    return Share(int(reached.sum()), int(of.sum()))
