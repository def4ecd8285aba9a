"""The logits of a model that ends in a softmax, however it is wrapped."""

from functools import lru_cache
from typing import Any

import keras

from flowers17.errors import InvalidInput
from flowers17.robustness.base import Model

SMALLEST = 1e-38  # the smallest normal float32; below it a processor may take numbers for zero


def logits_of(model: Model, shape: tuple[int, ...] | None = None) -> keras.Model:
    """Return a model of logits, (n, h, w, c) → (n, n_classes), that shares the model's weights.

    model: ends in a softmax as a layer, an operation or the activation of a dense layer, possibly
    inside further models, or inside a function that calls models and `keras.ops`. shape: of one
    image, (h, w, c), where the model does not say it.
    Where no softmax is found, the logits are the logarithms of the probabilities, which differ
    from logits by one number an image; they are kept finite, and a probability too small for
    float32 has no gradient.
    Raises InvalidInput if the model cannot be followed.
    """
    try:
        return _logits_of(model, shape)
    except InvalidInput:
        raise
    except Exception as problem:
        raise InvalidInput(
            "model: expected a Keras model, or a function of Keras models and keras.ops that a "
            f"gradient can be taken of, got {type(model).__name__}: {problem}; attack it as a "
            "black box instead"
        ) from problem


@lru_cache(maxsize=4)
def _logits_of(model: Model, shape: tuple[int, ...] | None) -> keras.Model:
    traced = _traced(model, shape)
    found = _before_softmax(traced.outputs[0])
    if found is None:
        probable = keras.ops.maximum(keras.ops.cast(traced.outputs[0], "float32"), SMALLEST)
        found = keras.ops.log(probable)
    return keras.Model(traced.inputs[0], found)


def _traced(model: Model, shape: tuple[int, ...] | None) -> keras.Model:
    """Return the graph of a model or function; a subclass of Model is followed into its call."""
    if isinstance(model, keras.Model) and getattr(model, "outputs", None):
        return model
    given = keras.Input(shape)
    if not isinstance(model, keras.Model):
        return keras.Model(given, model(given))
    whole = keras.Model(given, model(given))
    try:
        return keras.Model(given, model.call(given))
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return whole


def _before_softmax(output: Any) -> Any:
    """Return the tensor that a softmax made an output of, or None."""
    operation, node, _ = output._keras_history
    inputs = operation._inbound_nodes[node].input_tensors if operation._inbound_nodes else []
    if isinstance(operation, keras.Model):
        inner = _traced(operation, tuple(inputs[0].shape[1:]))
        found = _before_softmax(inner.outputs[0])
        return None if found is None else keras.Model(inner.inputs[0], found)(inputs[0])
    if type(operation).__name__ == "Softmax" and operation.axis in (-1, 1):
        return inputs[0]
    activation = getattr(operation, "activation", None)
    if activation is keras.activations.softmax:
        if isinstance(operation, keras.layers.Activation):
            return inputs[0]
        if isinstance(operation, keras.layers.Dense):
            return WithoutActivation(operation)(inputs[0])
    passes = isinstance(operation, keras.layers.Identity | keras.layers.Dropout)
    linear = isinstance(operation, keras.layers.Activation) and (
        activation is keras.activations.linear
    )
    return _before_softmax(inputs[0]) if passes or linear else None


class WithoutActivation(keras.layers.Layer):
    """A dense layer's sums, before its activation; its weights are the layer's own."""

    def __init__(self, dense: keras.layers.Dense) -> None:
        super().__init__(dtype=dense.dtype_policy)
        self.dense = dense

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return (n, units) sums of (n, …) inputs."""
        sums = keras.ops.matmul(inputs, self.dense.kernel)
        return sums if self.dense.bias is None else keras.ops.add(sums, self.dense.bias)
