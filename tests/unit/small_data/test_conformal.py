"""What conformal sets cover, by simulation, and thresholds by hand."""

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.small_data.conformal import class_thresholds, cross_conformal_sets, prediction_sets


def drawn(n: int, seed: int, n_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, overconfident, and labels of another distribution: (n, c), (n,)."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, n_classes))
    proba, sharp = np.exp(logits), np.exp(3 * logits)
    proba /= proba.sum(axis=1, keepdims=True)
    labels = (random.random((n, 1)) > proba.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return sharp / sharp.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_cover_as_promised_in_all_and_class_by_class(coverage: float) -> None:
    shares = []
    for seed in range(60):
        proba, labels = drawn(400, seed)
        new, truth = drawn(400, 1000 + seed)
        sets = prediction_sets(new, class_thresholds(proba, labels, coverage))
        covered = sets[np.arange(400), truth]
        shares.append([covered.mean(), *(covered[truth == label].mean() for label in range(4))])
    means = np.mean(shares, axis=0)
    assert (means > coverage - 0.005).all()
    assert (means < coverage + 0.025).all()


def test_cross_conformal_sets_cover_as_promised() -> None:
    shares = []
    for seed in range(40):
        proba, labels = drawn(300, seed)
        sets = cross_conformal_sets(proba, labels, np.arange(300) % 5, 0.9)
        shares.append(sets[np.arange(300), labels].mean())
    assert np.mean(shares) == pytest.approx(0.905, abs=0.01)


def test_no_image_calibrates_its_own_set() -> None:
    proba, labels = drawn(200, 1)
    folds = np.arange(200) % 4
    others = np.where(folds == 0, (labels + 1) % 4, labels)
    before = cross_conformal_sets(proba, labels, folds, 0.9)[folds == 0]
    after = cross_conformal_sets(proba, others, folds, 0.9)[folds == 0]
    assert np.array_equal(before, after)


def test_thresholds_are_the_kth_smallest_or_those_of_all_images() -> None:
    own = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.3, 0.4, 0.45])
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1])
    proba = np.where(np.eye(2, dtype=bool)[labels], own[:, None], 1 - own[:, None])
    # Nine of class 0 or fewer: k = floor(9 * 0.2) = 1 of class 0, floor(2 * 0.2) = 0 of class 1.
    assert class_thresholds(proba, labels, 0.8).tolist() == [0.3, 0.4]
    assert class_thresholds(proba, labels, 0.99).tolist() == [0, 0]


def test_a_set_is_never_empty_and_bad_coverage_is_refused() -> None:
    proba, labels = drawn(100, 1)
    sets = prediction_sets(proba, np.full(4, 2.0))
    assert np.array_equal(sets.argmax(axis=1), proba.argmax(axis=1))
    assert sets.sum(axis=1).tolist() == [1] * 100
    for coverage in (0, 1, 1.5):
        with pytest.raises(InvalidInput, match="coverage: expected between 0 and 1"):
            class_thresholds(proba, labels, coverage)
    with pytest.raises(InvalidInput, match="0 images"):
        class_thresholds(proba[:0], labels[:0], 0.9)
