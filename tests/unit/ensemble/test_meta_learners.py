"""Meta-learners: scikit-learn's own answers, the same on any number of threads."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flowers17.ensemble.meta_learners import (
    META_LEARNERS,
    cross_validated,
    fitted,
    probabilities,
)
from tests.unit.ensemble.synthetic_predictions import synthetic_predictions

CASE = synthetic_predictions()
MATRIX, LABELS = CASE.out_of_fold[CASE.train], CASE.labels[CASE.train]
NEW = CASE.average[CASE.validation]
FOLDS = CASE.folds_of_train
STUDYS = META_LEARNERS["random_forest"]  # before the tests' own takes its place
SEED = 5


def _by_scikit_learn(
    model: Any, matrix: np.ndarray, labels: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Probabilities out of fold, in one thread: several would wait for each other."""
    splits = PredefinedSplit(folds)
    with threadpool_limits(1):
        return np.asarray(
            cross_val_predict(model, matrix, labels, cv=splits, method="predict_proba")
        )


@pytest.mark.parametrize("name", META_LEARNERS)
def test_cross_validated_equals_cross_val_predict(name: str) -> None:
    expected = _by_scikit_learn(META_LEARNERS[name](random_state=SEED), MATRIX, LABELS, FOLDS)
    proba = cross_validated(name, MATRIX, LABELS, FOLDS, SEED)
    assert proba.shape == (len(LABELS), 3)
    np.testing.assert_allclose(proba, expected, rtol=1e-9, atol=1e-12)


def test_the_study_s_is_a_forest_of_500_trees_on_the_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(META_LEARNERS, "random_forest", STUDYS)
    plain = RandomForestClassifier(500, random_state=SEED).fit(MATRIX, LABELS)
    proba = probabilities(fitted("random_forest", MATRIX, LABELS, SEED), NEW)
    np.testing.assert_array_equal(proba, plain.set_params(n_jobs=1).predict_proba(NEW))


def test_logistic_regression_is_one_on_the_probabilities() -> None:
    proba = probabilities(fitted("logistic_regression", MATRIX, LABELS, SEED), NEW)
    plain = LogisticRegression(C=1.0, max_iter=10_000).fit(MATRIX, LABELS)
    np.testing.assert_allclose(proba, plain.predict_proba(NEW), rtol=1e-9)


def test_gradient_boosting_is_scikit_learn_s() -> None:
    model = fitted("gradient_boosting", MATRIX, LABELS, SEED)
    assert isinstance(model, HistGradientBoostingClassifier)
    assert not model.do_early_stopping_  # which would hold images out by chance


@pytest.mark.parametrize("name", META_LEARNERS)
def test_probabilities_sum_to_one(name: str) -> None:
    proba = probabilities(fitted(name, MATRIX, LABELS, SEED), NEW)
    assert proba.dtype == np.float64
    assert proba.shape == (len(NEW), 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", META_LEARNERS)
def test_threads_change_no_bit(name: str) -> None:
    digests = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            model = fitted(name, MATRIX, LABELS, SEED)
            digests.append(probabilities(model, NEW).tobytes())
    assert digests[0] == digests[1]


def test_another_seed_grows_another_forest() -> None:
    first, second = (
        probabilities(fitted("random_forest", MATRIX, LABELS, seed), NEW) for seed in (1, 2)
    )
    assert (first != second).any()


@pytest.mark.parametrize("name", META_LEARNERS)
def test_labels_of_a_fold_do_not_decide_what_is_said_of_it(name: str) -> None:
    altered = np.where(FOLDS == 1, (LABELS + 1) % 3, LABELS)
    original_proba, altered_proba = (
        cross_validated(name, MATRIX, labels, FOLDS, SEED) for labels in (LABELS, altered)
    )
    assert original_proba[FOLDS == 1].tobytes() == altered_proba[FOLDS == 1].tobytes()
    assert (original_proba[FOLDS != 1] != altered_proba[FOLDS != 1]).any()


@pytest.mark.parametrize("name", META_LEARNERS)
def test_balanced_classes_are_scikit_learn_s(name: str) -> None:
    rows = np.concatenate([np.flatnonzero(LABELS == 0), np.flatnonzero(LABELS != 0)[::4]])
    matrix, labels, folds = MATRIX[rows], LABELS[rows], FOLDS[rows]
    model = META_LEARNERS[name](random_state=SEED, class_weight="balanced")
    expected = _by_scikit_learn(model, matrix, labels, folds)
    proba = cross_validated(name, matrix, labels, folds, SEED, "balanced")
    np.testing.assert_allclose(proba, expected, rtol=1e-9, atol=1e-12)
    assert not np.allclose(proba, cross_validated(name, matrix, labels, folds, SEED))
