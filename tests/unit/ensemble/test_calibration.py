"""Calibration: temperatures that are known, errors by hand."""

import numpy as np
import pytest

from flowers17.ensemble.calibration import (
    expected_calibration_error,
    log_loss,
    reliability,
    temperature,
    tempered,
)


def _true() -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels whose shares they are exactly: no temperature helps."""
    kinds = {
        (0.5, 0.25, 0.25): (2, 1, 1),
        (0.1, 0.2, 0.7): (1, 2, 7),
        (0.125, 0.75, 0.125): (1, 6, 1),
    }
    probas, labels = [], []
    for proba, counts in kinds.items():
        for label, n in enumerate(counts):
            probas += [proba] * n
            labels += [label] * n
    return np.array(probas), np.array(labels)


@pytest.mark.parametrize("sharpness", [0.25, 0.5, 1.0, 1.7, 3.0, 10.0])
def test_the_temperature_of_sharpened_probabilities_is_the_exponent(sharpness: float) -> None:
    proba, labels = _true()
    sharpened = proba**sharpness
    sharpened /= sharpened.sum(axis=1, keepdims=True)
    estimate = temperature(sharpened, labels)
    assert estimate == pytest.approx(sharpness, rel=1e-4)
    np.testing.assert_allclose(tempered(sharpened, estimate), proba, atol=1e-4)


def test_tempering_is_taking_a_root_and_normalising() -> None:
    proba = tempered(np.array([[0.64, 0.32, 0.04]]), 2.0)
    roots = np.sqrt([[0.64, 0.32, 0.04]])
    np.testing.assert_allclose(proba, roots / roots.sum(), rtol=1e-12)


@pytest.mark.parametrize("value", [0.05, 1.0, 20.0])
def test_tempered_rows_sum_to_one_and_keep_the_first_class(value: float) -> None:
    proba = np.random.default_rng(2).dirichlet(np.ones(5), 50)
    result = tempered(proba, value)
    np.testing.assert_allclose(result.sum(axis=1), 1)
    np.testing.assert_array_equal(result.argmax(axis=1), proba.argmax(axis=1))


@pytest.mark.parametrize(("right", "bound"), [(True, 0.05), (False, 20.0)])
def test_the_temperature_stays_in_its_range(right: bool, bound: float) -> None:
    """Always right, only too shy: colder for ever. Always sure and wrong: hotter for ever."""
    proba = np.tile([0.6, 0.4] if right else [1 - 1e-9, 1e-9], (20, 1))
    labels = np.zeros(20, np.int64) if right else np.ones(20, np.int64)
    estimate = temperature(proba, labels)
    assert 0.05 <= estimate <= 20
    # The loss is flat near the cold end: any temperature there is as good.
    assert log_loss(tempered(proba, estimate), labels) == pytest.approx(
        log_loss(tempered(proba, bound), labels), abs=1e-3
    )


def test_a_zero_for_the_truth_is_a_finite_loss() -> None:
    proba, labels = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0])
    assert log_loss(proba, labels) == pytest.approx(-np.log(1e-12) / 2)
    assert np.isfinite(temperature(proba, labels))


def test_log_loss_is_that_by_hand() -> None:
    proba = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(proba, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def test_the_calibration_error_is_that_by_hand() -> None:
    """Bins of 0.2: two images at 0.7 and 0.8, one of them right; two at 0.9 and 1, both right."""
    proba = np.array([[0.7, 0.3], [0.8, 0.2], [0.9, 0.1], [1.0, 0.0]])
    labels = np.array([0, 1, 0, 0])
    bins = reliability(proba, labels, 5)
    assert bins.n_images.tolist() == [0, 0, 0, 2, 2]
    np.testing.assert_allclose(bins.confidence, [np.nan, np.nan, np.nan, 0.75, 0.95])
    np.testing.assert_allclose(bins.accuracy, [np.nan, np.nan, np.nan, 0.5, 1.0])
    by_hand = 0.5 * abs(0.5 - 0.75) + 0.5 * abs(1 - 0.95)
    assert expected_calibration_error(proba, labels, 5) == pytest.approx(by_hand)


def test_confidence_equal_to_accuracy_has_no_error() -> None:
    proba = np.tile([0.75, 0.25], (8, 1))
    assert expected_calibration_error(proba, np.array([0] * 6 + [1] * 2)) == pytest.approx(0)


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_the_upper_end_belongs_to_a_bin(n_bins: int) -> None:
    """A confidence of k / n_bins is in the k-th bin; none falls out at 1."""
    ends = np.arange((n_bins + 1) // 2, n_bins + 1) / n_bins
    proba = np.column_stack([ends, 1 - ends])
    bins = reliability(proba, np.zeros(len(ends), np.int64), n_bins)
    expected = np.zeros(n_bins, np.int64)
    np.add.at(expected, np.ceil(np.maximum(ends, 1 - ends) * n_bins - 1e-9).astype(int) - 1, 1)
    assert bins.n_images.tolist() == expected.tolist()
