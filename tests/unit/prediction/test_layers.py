"""Stored numbers, as layers of Keras's own, say what scikit-learn's fitted models say."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from flowers17.config import COLUMN_CLASSIFIERS, ClassifierSettings
from flowers17.data.splits import Split
from flowers17.ensemble import calibration, predictions
from flowers17.ensemble.meta_learners import META_LEARNERS, fitted, probabilities
from flowers17.errors import ArtifactDamaged
from flowers17.prediction import layers
from flowers17.prediction.fitted_classifier import FittedClassifier, of_estimator, of_fit
from flowers17.transfer.classifier_evaluation import fits
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


def _outputs(layer_of: Callable[..., Any], *rows: np.ndarray, dtype: str = "float32") -> np.ndarray:
    inputs = [keras.Input(row.shape[1:], dtype=dtype) for row in rows]
    model = keras.Model(inputs, layer_of(*inputs))
    # Called, since each graph is compiled; predictions in one: test_predict_after_flows.py.
    return np.asarray(model([row.astype(dtype) for row in rows], training=False))


FAMILIES = [
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
]


@pytest.mark.parametrize(
    ("n_components", "n_classes"),
    [
        (None, 2),
        pytest.param(None, 5, marks=pytest.mark.long),
        pytest.param(10, 2, marks=pytest.mark.long),
        (10, 5),
    ],
)
@pytest.mark.parametrize(("name", "settings"), FAMILIES, ids=str)
def test_a_classifier(
    name: str, settings: dict[str, Any], n_components: int | None, n_classes: int
) -> None:
    maps, labels = _maps(n_classes)
    columns = side_by_side(maps)
    chosen = ClassifierSettings.model_validate({name: settings})
    order = np.random.default_rng(6).permutation(N_IMAGES)  # rows that train are not the first ones
    split = Split("clean", "clean", None, np.sort(order[:N_TRAIN]), np.sort(order[N_TRAIN:]))
    problem: dict[str, Any] = {"features": columns, "labels": labels, "splits": [split], "seed": 3}
    if n_components or name not in COLUMN_CLASSIFIERS:
        problem["rows"] = row_space(maps)
    [fit] = fits(name, chosen, **problem, n_components=n_components)
    expected = fit.proba(np.arange(N_IMAGES))
    fitted = of_fit(fit, columns, problem.get("rows"))
    rows = fitted.arrays.get("rows")
    images = None if rows is None else columns[rows]
    assert rows is None or not np.isin(rows, split.validation).any()

    def layer_of(*features: Any) -> Any:
        return layers.classifier(layers.side_by_side(features), fitted, images)

    exact = _outputs(lambda rows: layers.classifier(rows, fitted, images), columns, dtype="float64")
    if name == "knn" and settings.get("weights", "distance") == "distance":
        # Images that trained are at no distance from themselves, up to rounding.
        exact, expected = exact[split.validation], expected[split.validation]
    np.testing.assert_allclose(exact, expected, atol=1e-6)
    proba = _outputs(layer_of, *maps)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, fit.proba(np.arange(N_IMAGES)), atol=2e-5)
    n_predicted = len(np.unique(proba.argmax(axis=1)))
    assert n_predicted == n_classes or settings.get("n_neighbors") == 900


@pytest.mark.parametrize(
    "changed",
    [
        {"left": np.array([0, 0, 0])},
        {"left": np.array([9, 0, 1])},
        {"feature": np.array([7, -1, -1])},
        {"roots": np.array([-1])},
        {"roots": np.array([0.0])},
    ],
    ids=["leads to itself", "leads nowhere", "no such column", "no root", "no index"],
)
def test_nodes_that_no_forest_has_are_refused(changed: dict[str, np.ndarray]) -> None:
    nodes = {"feature": [0, -1, -1], "threshold": [0.5] * 3, "left": [1, 0, 1], "right": [2, 0, 0]}
    arrays = {name: np.array(values) for name, values in nodes.items()}
    arrays |= {"roots": np.array([0]), "values": np.eye(2), **changed}
    fitted = FittedClassifier("trees", {}, arrays)
    with pytest.raises(ArtifactDamaged):
        _outputs(lambda columns: layers.classifier(columns, fitted), np.zeros((1, 2)))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", META_LEARNERS)
def test_a_meta_learner(name: str, n_classes: int) -> None:
    draws = np.random.default_rng(7)
    matrix = draws.dirichlet(np.ones(n_classes), (N_IMAGES, 3)).astype(np.float32)
    labels = matrix.mean(axis=1).argmax(axis=1)
    matrix = matrix.reshape(N_IMAGES, -1)
    model = fitted(name, matrix[:N_TRAIN], labels[:N_TRAIN], seed=3)
    numbers = of_estimator(model)
    proba = _outputs(lambda columns: layers.classifier(columns, numbers), matrix)
    np.testing.assert_allclose(proba, probabilities(model, matrix), atol=1e-6)


def test_averages_and_calibration() -> None:
    members = np.random.default_rng(8).dirichlet(np.ones(4), (3, 10)).astype(np.float32)
    members[:, 0] = [1, 0, 0, 0]  # the logarithm of a zero
    weights = np.array([0.5, 0.0, 0.5])
    for layer_of, expected in (
        (lambda *probas: layers.averaged(probas), predictions.averaged(members)),
        (lambda *probas: layers.weighted(probas, weights), predictions.weighted(members, weights)),
        (
            lambda *probas: layers.tempered(layers.averaged(probas), 0.4),
            calibration.tempered(predictions.averaged(members), 0.4),
        ),
    ):
        np.testing.assert_allclose(_outputs(layer_of, *members), expected, atol=1e-6)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_as_many_images_as_vectors_keep_their_own_lengths(n: int) -> None:
    draws = np.random.default_rng(2)
    vectors, rows = draws.random((5, 3)) / 100, draws.random((n, 3)) / 100
    rows[0] = vectors[1] = 0.005  # the same image counts alone
    labels = np.array([0, 1, 0, 1, 0])
    options = {"n_neighbors": 3, "weights": "distance"}
    arrays = {"vectors": vectors, "labels": labels}
    columns = keras.Input((3,), dtype="float64")
    proba = layers.classifier(columns, FittedClassifier("neighbours", options, arrays))
    exact = KNeighborsClassifier(3, weights="distance").fit(vectors, labels).predict_proba(rows)
    actual = keras.Model(columns, proba).predict_on_batch(rows)
    np.testing.assert_allclose(actual, exact, atol=1e-9)
