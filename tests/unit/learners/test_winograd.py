"""Convolutions by minimal filtering: the backend's own up to rounding."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from flowers17.learners.fast_layers import convolution


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _derivatives(function: Any, inputs: np.ndarray, kernel: np.ndarray) -> list[np.ndarray]:
    """Value of a function and the gradients of a weighted sum of it, on any backend."""
    weights = np.cos(np.arange(inputs.shape[0] * inputs.shape[1] * inputs.shape[2]))
    weights = weights.reshape(*inputs.shape[:3], 1).astype(np.float32)
    if keras.backend.backend() == "jax":
        import jax

        total = lambda *args: (ops.sum(function(*args) * weights), function(*args))  # noqa: E731
        gradients, value = jax.grad(total, (0, 1), has_aux=True)(inputs, kernel)
        return [np.asarray(tensor) for tensor in (value, *gradients)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        variables = [tf.Variable(inputs), tf.Variable(kernel)]
        value = function(*variables)
        total = ops.sum(value * weights)
    return [np.asarray(tensor) for tensor in (value, *tape.gradient(total, variables))]


def _assert_equal_up_to_rounding(actual: Any, expected: np.ndarray) -> None:
    """Rounding is relative to the largest sum: how near zero a sum comes is chance."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-5 * np.abs(expected).max())


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
        for gradient, expected in zip(
            _derivatives(convolution, inputs, kernel), plain, strict=True
        ):
            assert gradient.shape == expected.shape
            _assert_equal_up_to_rounding(gradient, expected)

    def test_by_a_kernel_of_one_tap_shifts_the_image(self) -> None:
        inputs, kernel = _random(1, 6, 6, 1), np.zeros((3, 3, 1, 1), np.float32)
        kernel[0, 2] = 1
        expected = np.zeros_like(inputs)
        expected[:, 1:, :-1] = inputs[:, :-1, 1:]
        _assert_equal_up_to_rounding(convolution(inputs, kernel), expected)

    def test_takes_batches_and_sides_that_differ(self) -> None:
        inputs = keras.Input((None, None, 2))
        layer = layers.Conv2D(3, 3, padding="same", use_bias=False)
        batches = [_random(n, side, side + 1, 2) for n, side in ((1, 4), (3, 9))]
        model = keras.Model(inputs, layer(inputs))
        plain = [model.predict_on_batch(batch) for batch in batches]
        layer.convolution_op = convolution
        model = keras.Model(inputs, layer(inputs))
        for batch, expected in zip(batches, plain, strict=True):
            _assert_equal_up_to_rounding(model.predict_on_batch(batch), expected)
