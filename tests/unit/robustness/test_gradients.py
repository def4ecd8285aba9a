"""Gradients: by hand on a linear model, of the logits however wrapped, and never all zero."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.robustness.gradients import (
    jacobian_and_logits,
    logits_of,
    loss_gradients,
    loss_gradients_and_logits,
)
from tests.unit.robustness import victim_models
from tests.unit.robustness.victim_models import (
    N_CLASSES,
    SHAPE,
    class_gradients,
    images,
    linear,
    linear_gradient,
    weights,
)

ENDINGS = ["layer", "activation", "operation"]
LABELS = np.arange(10) % N_CLASSES


def _wrapped(model: keras.Model) -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Identity(), model])


WRAPS: dict[str, Callable[[keras.Model], Any]] = {
    "a model": _wrapped,
    "two models": lambda model: _wrapped(_wrapped(model)),
    "a function": lambda model: lambda x: model(x),
    "dropout": lambda model: keras.Sequential(
        [keras.Input(SHAPE), model, keras.layers.Dropout(0.5)]
    ),
}


@pytest.mark.parametrize("ending", [*ENDINGS, "unknown"])
def test_a_loss_gradient_of_a_linear_model_is_that_by_hand(ending: str) -> None:
    x = images(10)
    gradients = loss_gradients(linear(ending=ending), x, LABELS)
    assert gradients.dtype == np.float32
    np.testing.assert_allclose(gradients, linear_gradient(x, LABELS), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_margin_gradient_of_a_linear_model_is_the_strongest_rivals_column_less_the_labels(
    ending: str,
) -> None:
    x = images(10)
    logits = x.reshape(10, -1) @ weights()
    rivals = np.where(np.eye(N_CLASSES, dtype=bool)[LABELS], -np.inf, logits).argmax(axis=1)
    by_hand = (weights().T[rivals] - weights().T[LABELS]).reshape(10, *SHAPE)
    gradients = loss_gradients(linear(ending=ending), x, LABELS, "margin")
    np.testing.assert_allclose(gradients, by_hand, rtol=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_class_gradient_of_a_linear_model_is_its_column(ending: str) -> None:
    gradients = class_gradients(linear(ending=ending), images(10), LABELS)
    assert gradients.tolist() == weights().T[LABELS].reshape(10, *SHAPE).tolist()


def test_a_jacobian_of_a_linear_model_is_its_weights() -> None:
    x = images(4)
    gradients, logits = jacobian_and_logits(linear(), x)
    assert gradients.tolist() == [weights().T.reshape(N_CLASSES, *SHAPE).tolist()] * 4
    np.testing.assert_allclose(logits, x.reshape(4, -1) @ weights(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("max_size", [4, 256])
def test_the_logits_that_come_with_gradients_are_those_of_the_images(max_size: int) -> None:
    x = images(10)
    gradients, logits = loss_gradients_and_logits(linear(), x, LABELS, max_size=max_size)
    np.testing.assert_allclose(logits, x.reshape(10, -1) @ weights(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradients, linear_gradient(x, LABELS), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_logits_are_the_input_of_the_softmax(ending: str) -> None:
    x = images(6)
    logits = keras.ops.convert_to_numpy(logits_of(linear(50.0, ending=ending))(x))
    by_hand = x.reshape(6, -1) @ (50 * weights())
    np.testing.assert_allclose(logits, by_hand, rtol=1e-5, atol=1e-3)


def test_logits_of_a_subclassed_model_are_found_in_its_call() -> None:
    model, x = victim_models.Subclassed(), images(5)
    logits = keras.ops.convert_to_numpy(logits_of(model, SHAPE)(x))
    by_hand = x.reshape(5, -1) @ model.dense.get_weights()[0]
    np.testing.assert_allclose(logits, by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "ending"),
    [
        # Each wrap, and each ending, once.
        pytest.param(wrap, ending, marks=[pytest.mark.long] * ((number - place) % 3 != 0))
        for number, wrap in enumerate(WRAPS)
        for place, ending in enumerate(ENDINGS)
    ],
)
def test_a_wrapped_model_has_the_bytes_of_the_model_alone(wrap: str, ending: str) -> None:
    model, x = linear(20.0, ending=ending), images(10)
    alone = loss_gradients(model, x, LABELS)
    assert loss_gradients(WRAPS[wrap](model), x, LABELS).tobytes() == alone.tobytes()


@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_no_confident_image_has_a_gradient_of_zeros_where_a_plain_one_has(scale: float) -> None:
    model, x = linear(scale), images(200)
    labels = np.asarray(model.predict_on_batch(x)).argmax(axis=1)
    gradients = loss_gradients(model, x, labels)
    assert gradients.any(axis=(1, 2, 3)).all()
    proba = np.asarray(model.predict_on_batch(x))
    plain = (proba - np.eye(N_CLASSES, dtype=np.float32)[labels]) @ weights().T
    assert (~plain.any(axis=1)).sum() > 20


def test_a_gradient_that_float32_loses_has_the_direction_of_the_exact_one() -> None:
    model, x = linear(10_000.0), images(200)
    w = 10_000.0 * weights().astype(np.float64)
    logits = x.reshape(200, -1) @ w
    labels = logits.argmax(axis=1)
    order = np.sort(logits, axis=1)
    sure = (order[:, -1] - order[:, -2] > 1000) & (order[:, -2] - order[:, -3] > 1000)
    second = np.argsort(logits, axis=1)[:, -2]
    exact = np.sign(w.T[second] - w.T[labels]).reshape(x.shape)
    assert sure.sum() > 100
    assert (np.sign(loss_gradients(model, x, labels)) == exact)[sure].all()


@pytest.mark.parametrize("n", [1, 7, 128, 129, 200])
def test_the_gradient_of_an_image_depends_on_its_batch_by_rounding_alone(n: int) -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(200, 9)
    order = np.random.default_rng(n).permutation(200)[:n]
    every = loss_gradients(model, x, labels)
    tolerance = 1e-5 * np.abs(every).max()  # processors split a batch among their kernels
    gradients = loss_gradients(model, x[order], labels[order])
    np.testing.assert_allclose(gradients, every[order], rtol=0, atol=tolerance)


def test_new_weights_are_seen() -> None:
    model, x = linear(), images(3)
    before = class_gradients(model, x, LABELS[:3])
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    dense.set_weights([2 * weights(), np.zeros(N_CLASSES, np.float32)])
    assert class_gradients(model, x, LABELS[:3]).tolist() == (2 * before).tolist()


def test_leaky_relus_are_followed_without_a_complaint(capfd: pytest.CaptureFixture[str]) -> None:
    inputs = keras.Input(SHAPE)
    mix = keras.layers.Conv2D(3, 1, activation="leaky_relu")
    outputs = keras.layers.Dense(N_CLASSES)(keras.layers.Flatten()(mix(inputs)))
    model, x = keras.Model(inputs, keras.layers.Softmax()(outputs)), images(10)
    kernel = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    mix.set_weights([kernel[None, None], np.zeros(3, np.float32)])
    model.layers[-2].set_weights([weights(), np.zeros(N_CLASSES, np.float32)])
    slopes = np.where(x @ kernel > 0, 1, 0.2)
    assert 0.1 < (slopes == 1).mean() < 0.9
    by_hand = (weights().T[LABELS].reshape(x.shape) * slopes) @ kernel.T
    np.testing.assert_allclose(class_gradients(model, x, LABELS), by_hand, rtol=1e-4, atol=1e-5)
    assert "remapper" not in capfd.readouterr().err
