"""The logits of a model that ends in a softmax, however it is wrapped."""

from functools import lru_cache
from typing import Any

import keras

from flowers17.errors import InvalidInput
from flowers17.robustness.base import Model

SMALLEST = 1e-38  # about the smallest normal float32; a processor may round smaller ones to zero


def logits_of(model: Model, shape: tuple[int, ...] | None = None) -> keras.Model:
    """Model of the logits, (n, h, w, c) → (n, n_classes), that shares the model's weights.

    model: ends in a softmax as a layer, an operation or the activation of a dense layer, possibly
    inside further models, or inside a function that calls models and `keras.ops`. shape: of one
    image, (h, w, c), where the model does not define it.
    Without a softmax, the logits are the logarithms of the probabilities, which differ from logits
    by one number an image; they are finite, and a probability too small for float32 has no
    gradient.
    Raises InvalidInput if the model has no gradient.
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
    logits = _before_softmax(traced.outputs[0])
    if logits is None:
        proba = keras.ops.maximum(keras.ops.cast(traced.outputs[0], "float32"), SMALLEST)
        logits = keras.ops.log(proba)
    return keras.Model(traced.inputs[0], logits)


def _traced(model: Model, shape: tuple[int, ...] | None) -> keras.Model:
    """Graph of a model or function; of a subclass of Model, the graph of its `call`."""
    if isinstance(model, keras.Model) and getattr(model, "outputs", None):
        return model
    inputs = keras.Input(shape)
    if not isinstance(model, keras.Model):
        return keras.Model(inputs, model(inputs))
    outer = keras.Model(inputs, model(inputs))
    try:
        return keras.Model(inputs, model.call(inputs))
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return outer


def _before_softmax(output: Any) -> Any:
    """Input of the softmax that an output comes from, or None."""
    operation, node, _ = output._keras_history
    inputs = operation._inbound_nodes[node].input_tensors if operation._inbound_nodes else []
    if isinstance(operation, keras.Model):
        inner = _traced(operation, tuple(inputs[0].shape[1:]))
        logits = _before_softmax(inner.outputs[0])
        return None if logits is None else keras.Model(inner.inputs[0], logits)(inputs[0])
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
    """A dense layer without its activation; the weights are the layer's own."""

    def __init__(self, dense: keras.layers.Dense) -> None:
        super().__init__(dtype=dense.dtype_policy)
        self.dense = dense

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Weighted sums (n, units) of inputs (n, …)."""
        sums = keras.ops.matmul(inputs, self.dense.kernel)
        return sums if self.dense.bias is None else keras.ops.add(sums, self.dense.bias)
