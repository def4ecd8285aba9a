"""The goals of an attacker: counted by hand on eight images."""

import math

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.base import AttackResult, attack_result
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


def _result(targets: np.ndarray | None) -> AttackResult:
    x = np.zeros((8, 1, 1, 1), np.float32)
    before, after = 0.1 + 0.7 * np.eye(3)[BEFORE], 0.2 + 0.4 * np.eye(3)[AFTER]
    return attack_result(x, x, LABELS, targets, before, after, 0, 0)


def test_misclassification_leaves_out_images_misclassified_before() -> None:
    assert misclassification(_result(None), LABELS) == Share(4, 6)


def test_targeted_misclassification_leaves_out_images_misclassified_before() -> None:
    assert targeted_misclassification(_result(TARGETS), LABELS, TARGETS) == Share(3, 6)


def test_targeted_misclassification_is_the_sum_of_the_source_target_matrix() -> None:
    matrix = source_target_matrix(_result(TARGETS), LABELS, TARGETS, 3)
    share = targeted_misclassification(_result(TARGETS), LABELS, TARGETS)
    assert tuple(matrix.sum(axis=(1, 2))) == (share.n_reached, share.n)


def test_a_label_as_its_own_target_is_refused() -> None:
    with pytest.raises(InvalidInput, match="targets: expected another class than the label"):
        targeted_misclassification(_result(TARGETS), LABELS, LABELS)


def test_the_source_target_matrix_counts_each_pair() -> None:
    matrix = source_target_matrix(_result(TARGETS), LABELS, TARGETS, 3)
    assert matrix[1].tolist() == [[0, 2, 1], [1, 0, 1], [1, 0, 0]]
    assert matrix[0].tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]


def test_confidence_reduction_is_the_mean_drop_of_correct_images() -> None:
    drops = [0.6, 0.2, 0.6, 0.6, 0.6, 0.2]  # all but images 5 and 7
    assert confidence_reduction(_result(None), LABELS) == pytest.approx(np.mean(drops))


def test_confidence_reduction_without_a_correct_image_is_nan() -> None:
    assert math.isnan(confidence_reduction(_result(None), (BEFORE + 1) % 3))


def test_a_share_of_no_images_is_nan() -> None:
    assert math.isnan(Share(0, 0).rate)
