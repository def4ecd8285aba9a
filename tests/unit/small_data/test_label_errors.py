"""Planted wrong labels are ranked first; chance is not taken for error."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowers17.small_data.label_errors import is_suspect, label_errors

N, C = 1200, 6


def drawn(seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities, float (n, c), and labels that are drawn from them."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (N, C)) + 8 * np.eye(C)[np.arange(N) % C] * random.random((N, 1))
    proba = np.exp(sharpness * logits)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba, (random.random((N, 1)) > proba.cumsum(axis=1)[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_planted_labels_come_first_and_are_more_than_chance(share: float) -> None:
    proba, labels = drawn(1)
    random = np.random.default_rng(2)
    planted = np.zeros(N, bool)
    planted[random.permutation(N)[: round(share * N)]] = True
    given = (labels + planted * random.integers(1, C, N)) % C
    errors = label_errors(proba, given, seed=3)
    place = np.empty(N)
    place[errors.ranked()] = np.arange(N)
    assert roc_auc_score(planted, -place) > 0.9
    assert roc_auc_score(planted, -errors.margin) > 0.9
    assert errors.is_suspect.sum() > errors.n_by_chance[2]
    assert errors.is_suspect[planted].mean() > 0.5


def test_labels_of_chance_alone_are_not_more_than_chance() -> None:
    n_claims = 0
    for seed in range(10):
        proba, labels = drawn(seed)
        errors = label_errors(proba**0.5 / (proba**0.5).sum(axis=1, keepdims=True), labels, seed)
        n_claims += errors.is_suspect.sum() > errors.n_by_chance[2]
    assert n_claims <= 1


def test_suspects_are_those_off_the_diagonal_of_the_confident_joint() -> None:
    proba = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 1, 1])
    # Means: 0.8 of class 0, (0.8 + 0.1 + 0.55) / 3 of class 1.
    expected = [False, False, False, True, False]
    assert is_suspect(proba, labels).tolist() == expected
    errors = label_errors(proba, labels, seed=1)
    assert errors.is_suspect.tolist() == expected
    assert errors.self_confidence.tolist() == [0.9, 0.7, 0.8, 0.1, 0.55]
    assert errors.margin == pytest.approx([0.8, 0.4, 0.6, -0.8, 0.1])
    assert errors.suggested.tolist() == [1, 1, 0, 0, 0]
    assert errors.ranked()[0] == 3


def test_near_duplicates_that_disagree_come_before_all_others() -> None:
    proba, labels = drawn(1)
    errors = label_errors(proba, labels, seed=3)
    last, before = errors.ranked()[-2:].tolist()
    assert set(errors.ranked([(last, before)])[:2].tolist()) == {last, before}


def test_a_class_that_no_image_has_is_never_suggested_as_confident() -> None:
    proba, labels = drawn(1)
    labels = np.where(labels == 5, 0, labels)
    suspects = np.flatnonzero(is_suspect(proba, labels))
    assert len(suspects)
    assert np.isfinite(label_errors(proba, labels, seed=1).n_by_chance).all()
