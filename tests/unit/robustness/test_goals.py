"""The goals of an attacker: counted by hand on eight images."""

import math

import numpy as np
import pytest

from flowers17.robustness.base import AttackResult, result
from flowers17.robustness.goals import (
    Share,
    confidence_reduction,
    misclassification,
    source_target_matrix,
    targeted_misclassification,
)

LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
TARGETS = np.array([1, 1, 2, 2, 0, 0, 0, 1])
BEFORE = np.array([0, 0, 0, 1, 1, 0, 2, 0])
AFTER = np.array([1, 0, 2, 0, 0, 0, 2, 1])


def _made(targets: np.ndarray | None) -> AttackResult:
    x = np.zeros((8, 1, 1, 1), np.float32)
    before, after = 0.1 + 0.7 * np.eye(3)[BEFORE], 0.2 + 0.4 * np.eye(3)[AFTER]
    return result(x, x, LABELS, targets, before, after, 0, 0)


def test_misclassification_leaves_out_what_was_wrong_before() -> None:
    assert misclassification(_made(None), LABELS) == Share(4, 6)


def test_targeted_misclassification_leaves_out_what_was_there_before() -> None:
    assert targeted_misclassification(_made(TARGETS), TARGETS) == Share(4, 7)


def test_the_source_target_matrix_counts_each_pair() -> None:
    found = source_target_matrix(_made(TARGETS), LABELS, TARGETS, 3)
    assert found.n.tolist() == [[0, 2, 1], [1, 0, 1], [1, 0, 0]]
    assert found.n_reached.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert np.isnan(found.rates[0, 0])
    assert found.rates[0, 1] == 0.5


def test_confidence_reduction_is_the_mean_drop() -> None:
    drops = [0.6, 0.2, 0.6, 0.6, 0.6, -0.1, 0.2, -0.1]
    assert confidence_reduction(_made(None)) == pytest.approx(np.mean(drops))


def test_a_share_of_nothing_is_no_number() -> None:
    assert math.isnan(Share(0, 0).rate)
