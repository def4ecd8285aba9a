"""Nothing leaks: noise stays at chance out of fold, and whoever memorises gains nothing.

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

from flowers17.ensemble.averaging import weighted
from flowers17.ensemble.folds import stratified_folds
from flowers17.ensemble.meta_learners import META_LEARNERS, fitted, probabilities
from flowers17.ensemble.methods import weights_of
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.probabilities import averaged_models, out_of_fold
from flowers17.ensemble.stacking import Stacked, stacked
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
    """Return what base models say of all images, fitted per fold and on all training images."""

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
        RandomForestClassifier(15, random_state=1),
        RandomForestClassifier(15, max_depth=6, random_state=2),
        KNeighborsClassifier(1),
        KNeighborsClassifier(3, weights="distance"),
        LogisticRegression(max_iter=1000),
    ]
    return {f"base {k}": (model, random.normal(size=(N, 20))) for k, model in enumerate(models)}


def _at_chance(n_correct: int, n: int) -> bool:
    """Return whether guessing would be right as often, in the middle 99.9 % of cases."""
    low, high = binom.interval(0.999, n, 1 / N_CLASSES)
    return bool(low <= n_correct <= high)


@pytest.mark.slow
def test_on_noise_only_the_biased_scheme_believes_in_itself() -> None:
    labels = np.random.default_rng(SEED).permutation(LABELS)
    meta_learners = ["random_forest", "logistic_regression", "gradient_boosting"]
    result = stacked(_predictions(_noise_bases(), labels, _folds(labels)), meta_learners, SEED)[0]
    n_train, n = result["n_train"], result["n_validation"]
    for one in result["learners"]:
        assert _at_chance(one["out_of_fold"], n_train), one
        assert _at_chance(one["average"], n), one
    for one in result["methods"]:
        assert _at_chance(one["cross_validated"], n_train), one
        assert _at_chance(one["n_correct"], n), one
    assert len(result["stackings"]) == 9
    for one in result["stackings"]:
        assert _at_chance(one["n_correct"], one["n_validation"]), one
        if one["scheme"] == "biased":
            assert one["n_apparent"] / one["n_fitted"] > 0.95, one
        else:
            assert _at_chance(one["n_apparent"], one["n_fitted"]), one


@pytest.mark.parametrize("fold", [0, N_FOLDS - 1])
def test_labels_of_a_fold_do_not_decide_what_is_said_of_it(fold: int) -> None:
    folds = _folds(LABELS)
    altered = np.where(folds == fold, (LABELS + 1) % N_CLASSES, LABELS)
    plain, other = (
        _predictions(_noise_bases(), labels, folds).out_of_fold for labels in (LABELS, altered)
    )
    held_out = folds == fold
    others = (folds >= 0) & ~held_out
    assert plain[held_out].tobytes() == other[held_out].tobytes()
    assert plain[others].tobytes() != other[others].tobytes()


def _learning_bases() -> dict[str, Base]:
    random = np.random.default_rng(SEED)
    found: dict[str, Base] = {}
    for k in range(3):
        centres = random.normal(size=(N_CLASSES, 10)) * 0.6
        features = centres[LABELS] + random.normal(size=(N, 10))
        found[f"learner {k}"] = (LogisticRegression(), features)
    return found


@pytest.fixture(scope="module")
def without() -> Predictions:
    """Return what three models say that learn."""
    return _predictions(_learning_bases(), LABELS, _folds(LABELS))


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Return what they say beside the nearest neighbour of a random vector for each image."""
    memory = KNeighborsClassifier(1), np.random.default_rng(SEED + 1).normal(size=(N, 10))
    return _predictions({**_learning_bases(), "memory": memory}, LABELS, _folds(LABELS))


@pytest.fixture(scope="module")
def found(predictions: Predictions) -> Stacked:
    return stacked(predictions, ["random_forest", "logistic_regression"], SEED)


class TestWhoeverMemorisesImages:
    """Recognises the images it was trained on, and knows nothing else."""

    def test_knows_its_own_and_no_other(self, found: Stacked, predictions: Predictions) -> None:
        own = predictions.refit[predictions.train][:, predictions.columns_of("memory")]
        assert (own.argmax(axis=1) == LABELS[predictions.train]).all()
        memory = found.result["learners"][-1]
        assert _at_chance(memory["out_of_fold"], len(predictions.train))
        assert _at_chance(memory["refit"], len(VALIDATION))

    def test_gets_no_weight(self, found: Stacked) -> None:
        assert found.result["weights"]["memory"] < 0.01

    def test_matters_less_than_anyone_who_learns(self, found: Stacked) -> None:
        importances = found.result["importances"]
        drops = {name: one["mean"] for name, one in importances["permutation"].items()}
        assert abs(drops["memory"]) < 0.02
        assert drops["memory"] < min(drops[f"learner {k}"] for k in range(3))
        summed = dict.fromkeys(drops, 0.0)
        for column, value in importances["impurity"].items():
            summed[column.partition("/")[0]] += value
        assert summed["memory"] < 0.1 < min(summed[f"learner {k}"] for k in range(3))

    @pytest.mark.parametrize("method", ["weighted_average", *META_LEARNERS])
    def test_gains_the_ensemble_nothing(
        self, method: str, predictions: Predictions, without: Predictions
    ) -> None:
        is_right = [
            _combined(method, one).argmax(axis=1) == LABELS[VALIDATION]
            for one in (predictions, without)
        ]
        test = mcnemar(*is_right)
        assert test.n_only_first <= test.n_only_second or test.p_value > 0.05

    def test_ruins_the_biased_way(self, found: Stacked) -> None:
        by_scheme = {
            (one["scheme"], one["meta_learner"]): one["n_correct"]
            for one in found.result["stackings"]
        }
        for one in found.result["stackings"]:
            if one["scheme"] == "biased":
                assert one["n_apparent"] == one["n_fitted"]
                assert one["n_correct"] < by_scheme["out-of-fold", one["meta_learner"]]


def _combined(method: str, predictions: Predictions) -> np.ndarray:
    """Return what a method fitted out of fold says of the validation images: (n, c)."""
    rows, asked = predictions.train, predictions.average[VALIDATION]
    if method == "weighted_average":
        return weighted(predictions.by_member(asked), weights_of(predictions))
    return probabilities(fitted(method, predictions.out_of_fold[rows], LABELS[rows], SEED), asked)
