"""Layers of Keras's own say what the fitted models of scikit-learn's say that they stand for."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import ClassifierSettings
from flowers17.data.splits import Split
from flowers17.ensemble import averaging, calibration
from flowers17.ensemble.meta_learners import META_LEARNERS, fitted, probabilities
from flowers17.prediction import layers
from flowers17.transfer.classifier_evaluation import fitted_proba, fitting_task
from flowers17.transfer.input_forms import input_form
from flowers17.transfer.rowspace import row_space, side_by_side
from tests.support.tiny_training import prepared

N_IMAGES, N_TRAIN = 90, 60


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


def _maps(n_classes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return two feature maps, non-negative with many zeros, whose classes overlap; labels."""
    draws = np.random.default_rng(5)
    labels = np.arange(N_IMAGES) % n_classes
    centres = [draws.standard_normal((n_classes, width)) for width in (40, 130)]
    noise = [draws.standard_normal((N_IMAGES, len(centre[0]))) * 3 for centre in centres]
    maps = [
        np.maximum(centre[labels] + scatter, 0)
        for centre, scatter in zip(centres, noise, strict=True)
    ]
    maps[0][7] = 0  # an image that a network gives nothing for
    return [map_.astype(np.float32) for map_ in maps], labels


def _outputs(layer_of: Callable[..., Any], *rows: np.ndarray) -> np.ndarray:
    inputs = [keras.Input(row.shape[1:]) for row in rows]
    model = keras.Model(inputs, layer_of(*inputs))
    return np.asarray(model.predict_on_batch([row.astype(np.float32) for row in rows]))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("naive_bayes", {}),
        ("svm", {"kernel": "linear"}),
        ("svm", {"kernel": "rbf", "C": 3.0, "gamma": 0.7}),
        ("svm", {"kernel": "poly", "degree": 3, "coef0": 0.5}),
        ("svm", {"kernel": "linear", "exact_up_to": 10}),
        ("svm", {"kernel": "rbf", "exact_up_to": 10, "n_landmarks": 20}),
        ("svm", {"kernel": "poly", "exact_up_to": 10, "n_landmarks": 20}),
        ("logistic_regression", {"C": 5.0}),
        ("knn", {"n_neighbors": 4, "weights": "uniform"}),
        ("knn", {"n_neighbors": 4, "weights": "distance"}),
        ("knn", {"n_neighbors": 900}),
        ("random_forest", {"n_estimators": 30}),
    ],
    ids=str,
)
def test_a_classifier(name: str, settings: dict[str, Any], n_classes: int) -> None:
    maps, labels = _maps(n_classes)
    stored = side_by_side(maps)
    chosen = ClassifierSettings.model_validate({name: settings})
    order = np.random.default_rng(6).permutation(N_IMAGES)  # rows that train are not the first ones
    split = Split("clean", "clean", None, np.sort(order[:N_TRAIN]), np.sort(order[N_TRAIN:]))
    problem: dict[str, Any] = {"features": stored, "labels": labels, "split": split, "seed": 3}
    problem["rows"] = row_space(maps) if input_form(name) == "rows" else None
    task = fitting_task(name, **problem)
    expected = fitted_proba(name, chosen, task)

    def layer_of(*features: Any) -> Any:
        return layers.classifier(layers.side_by_side(features), name, chosen, task, stored)

    proba = _outputs(layer_of, *maps)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, expected, atol=2e-5)
    assert len(np.unique(proba.argmax(axis=1))) == n_classes or settings.get("n_neighbors") == 900


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", META_LEARNERS)
def test_a_meta_learner(name: str, n_classes: int) -> None:
    draws = np.random.default_rng(7)
    matrix = draws.dirichlet(np.ones(n_classes), (N_IMAGES, 3)).astype(np.float32)
    labels = matrix.mean(axis=1).argmax(axis=1)
    matrix = matrix.reshape(N_IMAGES, -1)
    model = fitted(name, matrix[:N_TRAIN], labels[:N_TRAIN], seed=3)
    proba = _outputs(lambda columns: layers.meta_learner(columns, model), matrix)
    np.testing.assert_allclose(proba, probabilities(model, matrix), atol=1e-6)


def test_averages_and_calibration() -> None:
    members = np.random.default_rng(8).dirichlet(np.ones(4), (3, 10)).astype(np.float32)
    members[:, 0] = [1, 0, 0, 0]  # the logarithm of a zero
    weights = np.array([0.5, 0.0, 0.5])
    for layer_of, expected in (
        (lambda *probas: layers.averaged(probas), averaging.averaged(members)),
        (lambda *probas: layers.weighted(probas, weights), averaging.weighted(members, weights)),
        (
            lambda *probas: layers.tempered(layers.averaged(probas), 0.4),
            calibration.tempered(averaging.averaged(members), 0.4),
        ),
    ):
        np.testing.assert_allclose(_outputs(layer_of, *members), expected, atol=1e-6)
