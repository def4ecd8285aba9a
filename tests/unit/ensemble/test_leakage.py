"""Nothing leaks: noise stays at chance out of fold, and a member that memorises gains nothing.

Base models are scikit-learn's, each with features of its own; their labels are noise or are not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from flowers17.ensemble.folds import stratified_folds
from flowers17.ensemble.meta_learners import META_LEARNERS, fitted, probabilities
from flowers17.ensemble.predictions import Predictions, averaged_models, out_of_fold, weighted
from flowers17.ensemble.stacking import Stacked, stacked, weights_of
from flowers17.reporting.metrics import mcnemar

N_CLASSES, N_EACH, N_FOLDS = 5, 40, 4
N = N_CLASSES * N_EACH
IMAGES = np.arange(N)
VALIDATION = np.flatnonzero(IMAGES % 4 == 0)
LABELS = np.repeat(np.arange(N_CLASSES), N_EACH)
SEED = 17

# A base model: an estimator and its features (n, d).
Base = tuple[Any, np.ndarray]


def _predictions(bases: Mapping[str, Base], labels: np.ndarray, folds: np.ndarray) -> Predictions:
    """Predictions of base models for all images, fitted per fold and on all training images."""

    def by_models_of(rows: np.ndarray) -> np.ndarray:
        probas = [
            clone(model).fit(features[rows], labels[rows]).predict_proba(features)
            for model, features in bases.values()
        ]
        return np.hstack(probas).astype(np.float32)

    train = folds >= 0
    by_fold = [by_models_of(train & (folds != fold)) for fold in range(N_FOLDS)]
    return Predictions(
        out_of_fold=out_of_fold(by_fold, folds),
        average=averaged_models(by_fold, folds),
        refit=by_models_of(train),
        first_fold=by_fold[0],
        folds=folds,
        groups=IMAGES,
        labels=labels,
        validation=VALIDATION,
        members=tuple(bases),
        classes=tuple(f"class {k}" for k in range(N_CLASSES)),
    )


def _folds(labels: np.ndarray) -> np.ndarray:
    rows = np.setdiff1d(IMAGES, VALIDATION)
    return stratified_folds(labels, IMAGES, rows, n_folds=N_FOLDS, seed=SEED)


def _noise_bases() -> dict[str, Base]:
    random = np.random.default_rng(SEED)
    models = [
        RandomForestClassifier(8, random_state=1),
        RandomForestClassifier(8, max_depth=6, random_state=2),
        KNeighborsClassifier(1),
        KNeighborsClassifier(3, weights="distance"),
        LogisticRegression(max_iter=1000),
    ]
    return {f"base {k}": (model, random.normal(size=(N, 20))) for k, model in enumerate(models)}


def _at_chance(n_correct: int, n: int) -> bool:
    """Whether a count lies in the middle 99.9 % of those of guessing."""
    low, high = binom.interval(0.999, n, 1 / N_CLASSES)
    return bool(low <= n_correct <= high)


@pytest.mark.slow
def test_on_noise_only_the_biased_scheme_believes_in_itself() -> None:
    labels = np.random.default_rng(SEED).permutation(LABELS)
    meta_learners = ["random_forest", "logistic_regression", "gradient_boosting"]
    result = stacked(_predictions(_noise_bases(), labels, _folds(labels)), meta_learners, SEED)[0]
    n_train, n = result["n_train"], result["n_validation"]
    for row in result["learners"]:
        assert _at_chance(row["out_of_fold"], n_train), row
        assert _at_chance(row["average"], n), row
    for row in result["methods"]:
        assert _at_chance(row["cross_validated"], n_train), row
        assert _at_chance(row["n_correct"], n), row
    assert len(result["stackings"]) == 9
    for row in result["stackings"]:
        assert _at_chance(row["n_correct"], row["n_validation"]), row
        if row["scheme"] == "biased":
            assert row["n_apparent"] / row["n_fitted"] > 0.95, row
        else:
            assert _at_chance(row["n_apparent"], row["n_fitted"]), row


def test_labels_of_a_fold_do_not_decide_what_is_said_of_it() -> None:
    folds, fold = _folds(LABELS), N_FOLDS - 1
    altered = np.where(folds == fold, (LABELS + 1) % N_CLASSES, LABELS)
    original_proba, altered_proba = (
        _predictions(_noise_bases(), labels, folds).out_of_fold for labels in (LABELS, altered)
    )
    held_out = folds == fold
    other_folds = (folds >= 0) & ~held_out
    assert original_proba[held_out].tobytes() == altered_proba[held_out].tobytes()
    assert original_proba[other_folds].tobytes() != altered_proba[other_folds].tobytes()


def _learning_bases() -> dict[str, Base]:
    random = np.random.default_rng(SEED)
    bases: dict[str, Base] = {}
    for k in range(3):
        centres = random.normal(size=(N_CLASSES, 10)) * 0.6
        features = centres[LABELS] + random.normal(size=(N, 10))
        bases[f"learner {k}"] = (LogisticRegression(), features)
    return bases


@pytest.fixture(scope="module")
def learning_predictions() -> Predictions:
    """Predictions of three models that learn."""
    return _predictions(_learning_bases(), LABELS, _folds(LABELS))


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """The same beside a nearest neighbour of random vectors, which memorises images."""
    memory = KNeighborsClassifier(1), np.random.default_rng(SEED + 1).normal(size=(N, 10))
    return _predictions({**_learning_bases(), "memory": memory}, LABELS, _folds(LABELS))


@pytest.fixture(scope="module")
def stacking(predictions: Predictions) -> Stacked:
    return stacked(predictions, ["random_forest", "logistic_regression"], SEED)


class TestMemorisingMember:
    """A member that recognises its training images, and knows nothing else."""

    def test_knows_its_own_and_no_other(self, stacking: Stacked, predictions: Predictions) -> None:
        own = predictions.refit[predictions.train][:, predictions.columns_of("memory")]
        assert (own.argmax(axis=1) == LABELS[predictions.train]).all()
        memory = stacking.result["learners"][-1]
        assert _at_chance(memory["out_of_fold"], len(predictions.train))
        assert _at_chance(memory["refit"], len(VALIDATION))

    def test_gets_no_weight(self, stacking: Stacked) -> None:
        assert stacking.result["weights"]["memory"] < 0.01

    def test_matters_less_than_members_that_learn(self, stacking: Stacked) -> None:
        importances = stacking.result["importances"]
        drops = {name: drop["mean"] for name, drop in importances["permutation"].items()}
        assert abs(drops["memory"]) < 0.02
        assert drops["memory"] < min(drops[f"learner {k}"] for k in range(3))
        summed = dict.fromkeys(drops, 0.0)
        for column, value in importances["impurity"].items():
            summed[column.partition("/")[0]] += value
        assert summed["memory"] < 0.1 < min(summed[f"learner {k}"] for k in range(3))

    @pytest.mark.parametrize("method", ["weighted_average", *META_LEARNERS])
    def test_gains_the_ensemble_nothing(
        self, method: str, predictions: Predictions, learning_predictions: Predictions
    ) -> None:
        is_right = [
            _combined(method, members).argmax(axis=1) == LABELS[VALIDATION]
            for members in (predictions, learning_predictions)
        ]
        test = mcnemar(*is_right)
        assert test.n_only_first <= test.n_only_second or test.p_value > 0.05

    def test_ruins_the_biased_scheme(self, stacking: Stacked) -> None:
        by_scheme = {
            (row["scheme"], row["meta_learner"]): row["n_correct"]
            for row in stacking.result["stackings"]
        }
        for row in stacking.result["stackings"]:
            if row["scheme"] == "biased":
                assert row["n_apparent"] == row["n_fitted"]
                assert row["n_correct"] < by_scheme["out-of-fold", row["meta_learner"]]


def _combined(method: str, predictions: Predictions) -> np.ndarray:
    """Probabilities of the validation images by a method fitted out of fold: (n, c)."""
    rows, validation_matrix = predictions.train, predictions.average[VALIDATION]
    if method == "weighted_average":
        return weighted(predictions.by_member(validation_matrix), weights_of(predictions))
    return probabilities(
        fitted(method, predictions.out_of_fold[rows], LABELS[rows], SEED), validation_matrix
    )
