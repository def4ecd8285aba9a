"""Convolutions by minimal filtering: the backend's own up to rounding, where they suit."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from flowers17.learners.networks import build
from flowers17.learners.winograd import convolution, quicken, quickened
from tests.support.tiny_training import (
    N_CLASSES,
    SIZE,
    Stopped,
    prepared,
    trained,
    weight_bytes,
)

MANY = 128
WIDE, QUICK = (f"tests.unit.learners.test_winograd:{name}" for name in ("wide", "quick"))


def wide(input_shape: Any, n_classes: int) -> keras.Model:
    """Return a network with one layer that suits."""
    inputs = layers.Input(input_shape)
    x = layers.Conv2D(MANY, 3, padding="same", strides=2, name="first")(inputs)
    x = layers.Conv2D(MANY, 3, padding="same", activation="relu", name="suited")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


def quick(input_shape: Any, n_classes: int) -> keras.Model:
    """Return the same network, quickened."""
    model = wide(input_shape, n_classes)
    quicken(model)
    return model


def _found(model: keras.Model) -> list[str]:
    quicken(model)
    return quickened(model)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _derivatives(function: Any, inputs: np.ndarray, kernel: np.ndarray) -> list[np.ndarray]:
    """Return what a function gives and the gradients of a sum over it, on any backend."""
    weights = np.cos(np.arange(inputs.shape[0] * inputs.shape[1] * inputs.shape[2]))
    weights = weights.reshape(*inputs.shape[:3], 1).astype(np.float32)
    if keras.backend.backend() == "jax":
        import jax

        total = lambda *args: (ops.sum(function(*args) * weights), function(*args))  # noqa: E731
        gradients, value = jax.grad(total, (0, 1), has_aux=True)(inputs, kernel)
        return [np.asarray(one) for one in (value, *gradients)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        variables = [tf.Variable(inputs), tf.Variable(kernel)]
        value = function(*variables)
        total = ops.sum(value * weights)
    return [np.asarray(one) for one in (value, *tape.gradient(total, variables))]


class TestConvolution:
    @pytest.mark.parametrize(
        ("h", "w", "n_in", "n_out"),
        [(8, 8, 5, 7), (4, 4, 1, 1), (1, 1, 3, 2), (7, 10, 4, 4), (3, 13, 2, 6), (16, 5, 64, 32)],
    )
    def test_and_its_gradients_are_the_backends_up_to_rounding(
        self, h: int, w: int, n_in: int, n_out: int
    ) -> None:
        inputs, kernel = _random(3, h, w, n_in), _random(3, 3, n_in, n_out)
        plain = _derivatives(lambda x, k: ops.conv(x, k, padding="same"), inputs, kernel)
        for one, other in zip(_derivatives(convolution, inputs, kernel), plain, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=0, atol=3e-5 * np.abs(other).max())

    def test_by_a_kernel_of_one_tap_shifts_the_image(self) -> None:
        inputs, kernel = _random(1, 6, 6, 1), np.zeros((3, 3, 1, 1), np.float32)
        kernel[0, 2] = 1
        wanted = np.zeros_like(inputs)
        wanted[:, 1:, :-1] = inputs[:, :-1, 1:]
        np.testing.assert_allclose(convolution(inputs, kernel), wanted, atol=1e-5)

    def test_takes_batches_and_sides_that_differ(self) -> None:
        inputs = keras.Input((None, None, 2))
        layer = layers.Conv2D(3, 3, padding="same", use_bias=False)
        batches = [_random(n, side, side + 1, 2) for n, side in ((1, 4), (3, 9))]
        model = keras.Model(inputs, layer(inputs))
        plain = [model.predict_on_batch(one) for one in batches]
        layer.convolution_op = convolution
        model = keras.Model(inputs, layer(inputs))
        for batch, wanted in zip(batches, plain, strict=True):
            np.testing.assert_allclose(model.predict_on_batch(batch), wanted, atol=1e-5)


class TestQuicken:
    @pytest.mark.parametrize(
        ("change", "n_in"),
        [
            ({"kernel_size": 1}, MANY),
            ({"kernel_size": 5}, MANY),
            ({"strides": 2}, MANY),
            ({"dilation_rate": 2}, MANY),
            ({"groups": 2}, MANY),
            ({"padding": "valid"}, MANY),
            ({"filters": MANY - 1}, MANY),
            ({}, MANY - 1),
            ({"dtype": "mixed_bfloat16"}, MANY),
        ],
    )
    def test_leaves_what_does_not_suit(self, change: dict[str, Any], n_in: int) -> None:
        inputs = layers.Input((8, 8, n_in))
        options = {"filters": MANY, "kernel_size": 3, "padding": "same"} | change
        assert _found(keras.Model(inputs, layers.Conv2D(**options)(inputs))) == []

    def test_leaves_other_kinds_of_convolutions(self) -> None:
        inputs = layers.Input((8, 8, MANY))
        x = layers.DepthwiseConv2D(3, padding="same")(inputs)
        x = layers.SeparableConv2D(MANY, 3, padding="same")(x)
        x = layers.Conv2DTranspose(MANY, 3, padding="same")(x)
        assert _found(keras.Model(inputs, x)) == []

    def test_leaves_what_is_frozen(self) -> None:
        model = wide((SIZE, SIZE, 3), N_CLASSES)
        model.trainable = False
        assert _found(model) == []

    def test_finds_the_layers_of_models_inside_a_model(self) -> None:
        inputs = layers.Input((SIZE, SIZE, 3))
        inner = wide((SIZE, SIZE, 3), N_CLASSES)
        assert _found(keras.Model(inputs, inner(inputs))) == ["suited"]

    def test_of_the_studys_learners_suits_the_wide_ones(self) -> None:
        names = ("baseline", "mk-1", "mk-2", "mk-3")
        n_suited = {name: len(_found(build(name))) for name in names}
        assert n_suited == {"baseline": 0, "mk-1": 2, "mk-2": 1, "mk-3": 6}

    def test_changes_what_is_computed_by_rounding_and_nothing_that_is_saved(
        self, tmp_path: Path
    ) -> None:
        model = build("mk-3", (16, 16, 3), N_CLASSES, seed=1)
        images, before = np.abs(_random(5, 16, 16, 3)), weight_bytes(model)
        plain = model.predict_on_batch(images)
        config = model.get_config()
        quicken(model)
        model.predict_function = None
        found = model.predict_on_batch(images)
        assert not np.array_equal(found, plain)
        np.testing.assert_allclose(found, plain, atol=1e-5)
        assert weight_bytes(model) == before
        assert model.get_config() == config
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert np.array_equal(loaded.predict_on_batch(images), plain)


class TestTraining:
    def test_resumed_is_itself_to_the_byte_and_the_direct_one_up_to_rounding(
        self, tmp_path: Path
    ) -> None:
        with prepared():
            with pytest.raises(Stopped):
                trained(tmp_path / "a", learner=QUICK, stop_after=2)
            ends = [
                trained(tmp_path / name, learner=learner)
                for name, learner in (("a", QUICK), ("b", QUICK), ("c", WIDE))
            ]
        assert ends[0] == ends[1]
        assert ends[0].weights != ends[2].weights
        for one, other in zip(ends[0].history, ends[2].history, strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
