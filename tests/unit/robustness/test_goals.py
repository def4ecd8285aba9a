"""The goals of an attacker: counted by hand on eight images."""

import math

import numpy as np
import pytest

from flowers17.errors import InvalidInput
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


def test_targeted_misclassification_leaves_out_what_was_wrong_before() -> None:
    assert targeted_misclassification(_made(TARGETS), LABELS, TARGETS) == Share(3, 6)


def test_targeted_misclassification_is_what_the_source_target_matrix_sums_up() -> None:
    matrix = source_target_matrix(_made(TARGETS), LABELS, TARGETS, 3)
    share = targeted_misclassification(_made(TARGETS), LABELS, TARGETS)
    assert (matrix.n_reached.sum(), matrix.n.sum()) == (share.n_reached, share.n)


def test_a_label_as_its_own_target_is_refused() -> None:
    with pytest.raises(InvalidInput, match="targets: expected another class than the label"):
        targeted_misclassification(_made(TARGETS), LABELS, LABELS)


def test_the_source_target_matrix_counts_each_pair() -> None:
    found = source_target_matrix(_made(TARGETS), LABELS, TARGETS, 3)
    assert found.n.tolist() == [[0, 2, 1], [1, 0, 1], [1, 0, 0]]
    assert found.n_reached.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert np.isnan(found.rates[0, 0])
    assert found.rates[0, 1] == 0.5


def test_confidence_reduction_is_the_mean_drop_of_what_was_right_before() -> None:
    drops = [0.6, 0.2, 0.6, 0.6, 0.6, 0.2]  # all but images 5 and 7
    assert confidence_reduction(_made(None), LABELS) == pytest.approx(np.mean(drops))


def test_confidence_reduction_is_no_number_where_nothing_was_right() -> None:
    assert math.isnan(confidence_reduction(_made(None), (BEFORE + 1) % 3))


def test_a_share_of_nothing_is_no_number() -> None:
    assert math.isnan(Share(0, 0).rate)
