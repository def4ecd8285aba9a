"""Invalid input of JSMA and the one-pixel attack: a clear error each time."""

from typing import Any

import keras
import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.jsma import jsma
from flowers17.robustness.one_pixel import one_pixel

GOOD = np.full((2, 4, 4, 3), 0.5, np.float32)
BAD_IMAGES = {
    "above one": GOOD * 3,
    "below zero": -GOOD,
    "not a number": GOOD * np.float32(np.nan),
    "8 bits": (GOOD * 255).astype(np.uint8),
    "double": GOOD.astype(np.float64),
    "one image": GOOD[0],
    "none": GOOD[:0],
}
BAD_LABELS = {
    "beyond the classes": np.array([0, 3]),
    "negative": np.array([0, -1]),
    "too few": np.array([0]),
    "fractions": np.array([0.0, 1.0]),
}


def _certain(images: np.ndarray) -> np.ndarray:
    return np.tile(np.array([0.8, 0.1, 0.1]), (len(images), 1))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax", kernel_initializer="zeros"),
        ]
    )


def _one_pixel(**changes: Any) -> None:
    settings: dict[str, Any] = {"population": 5, "generations": 1, "seed": 0}
    data = {"predict_proba": _certain, "images": GOOD, "labels": np.zeros(2, int)}
    one_pixel(**{**data, **settings, **changes})


@pytest.mark.parametrize("images", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images(images: np.ndarray, model: keras.Model) -> None:
    labels = np.zeros(2, int)
    with pytest.raises(InvalidInput):
        _one_pixel(images=images, labels=labels)
    with pytest.raises(InvalidInput):
        jsma(model, images, labels)


@pytest.mark.parametrize("labels", BAD_LABELS.values(), ids=BAD_LABELS)
def test_labels_and_targets(labels: np.ndarray, model: keras.Model) -> None:
    with pytest.raises(InvalidInput):
        _one_pixel(labels=labels)
    with pytest.raises(InvalidInput):
        _one_pixel(labels=np.array([2, 2]), targets=labels)
    with pytest.raises(InvalidInput):
        jsma(model, GOOD, labels)


def test_a_target_that_is_the_label() -> None:
    with pytest.raises(InvalidInput):
        _one_pixel(labels=np.array([0, 1]), targets=np.array([1, 1]))


@pytest.mark.parametrize("theta", [0, -1.5, 2, np.nan, np.inf])
def test_theta(theta: float, model: keras.Model) -> None:
    with pytest.raises(InvalidInput, match=r"theta: expected a number in \[-1, 1\] other than 0"):
        jsma(model, GOOD, np.zeros(2, int), theta=theta)


@pytest.mark.parametrize("gamma", [0, -0.1, 1.01, np.nan, np.inf])
def test_gamma(gamma: float, model: keras.Model) -> None:
    with pytest.raises(InvalidInput, match="gamma: expected a share of the features"):
        jsma(model, GOOD, np.zeros(2, int), gamma=gamma)


def test_variant(model: keras.Model) -> None:
    with pytest.raises(InvalidInput, match="variant: expected pairwise or single, got 'both'"):
        jsma(model, GOOD, np.zeros(2, int), variant="both")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("population", 0, "3 or more"),
        ("population", 2, "3 or more"),
        ("population", 10.0, "3 or more"),
        ("generations", -1, "0 or more"),
        ("generations", True, "0 or more"),
        ("n_pixels", 0, "1 to 16"),
        ("n_pixels", 17, "1 to 16"),
    ],
)
def test_counts(name: str, value: object, bounds: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: expected a whole number, {bounds}, got"):
        _one_pixel(**{name: value})


@pytest.mark.parametrize(
    "outputs",
    [
        lambda n: np.tile([3.0, -1.0, 0.5], (n, 1)),
        lambda n: np.tile([0.5, 0.6, 0.2], (n, 1)),
        lambda n: np.tile([1.2, -0.2, 0.0], (n, 1)),
        lambda n: np.full((n, 3), np.nan),
        lambda n: np.ones((n, 1)),
        lambda n: np.ones(n),
        lambda n: np.full((n + 1, 2), 0.5),
    ],
    ids=["logits", "sum 1.3", "negative", "NaN", "one class", "flat", "another number"],
)
def test_outputs_that_are_no_probabilities(outputs: Any) -> None:
    with pytest.raises(InvalidInput, match="predict_proba: expected probabilities"):
        _one_pixel(predict_proba=lambda images: outputs(len(images)))
