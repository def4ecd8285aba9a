"""Logits of a model, and their and its losses' gradients with respect to its images.

They work on every backend of Keras, and for a model that ends in a softmax however it is wrapped.

Each image has a gradient of its own: nothing is averaged over a batch, and batches have one size.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import keras
import numpy as np

from flowers17.errors import InvalidInput
from flowers17.learners.fast_layers import accelerate_leaky_relus
from flowers17.robustness.base import MAX_BATCH_SIZE, Model, batches

Loss = Literal["cross_entropy", "margin"]
Value = Literal[Loss, "log_odds", "logit"]
# (images, one-hot classes) → the gradients of a value, and the logits.
GradientsAndLogits = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

SMALLEST = 1e-38  # about the smallest normal float32; a processor may round smaller ones to zero
MASK = 1e9  # subtracted from a logit, it takes the class out of a maximum or log-sum-exp


def loss_gradients(
    model: Model, images: np.ndarray, labels: np.ndarray, loss: Loss = "cross_entropy"
) -> np.ndarray:
    """Gradient of each image's loss: float32 (n, h, w, c).

    images: float32 (n, h, w, c) in [0, 1]. labels: int (n,).
    loss: "margin" is the largest logit of the other classes minus the label's (Carlini and Wagner
    2017, arXiv:1608.04644, f6); the other classes' sum does not weigh down the strongest.
    The cross-entropy is that of the logits. Where its gradient is zero in float32, because the
    model is so confident that the other classes' probabilities vanish, the gradient of the log-odds
    against the label replaces it: cross-entropy's divided by 1 - p, which has the same direction
    and does not vanish.
    Raises InvalidInput if the model has no gradient.
    """
    if loss == "margin":
        return _gradients(loss, model, images, labels)[0]
    return loss_gradients_and_logits(model, images, labels)[0]


def loss_gradients_and_logits(
    model: Model, images: np.ndarray, labels: np.ndarray, *, max_size: int = MAX_BATCH_SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients as of `loss_gradients`, and the logits: float32 (n, h, w, c) and (n, n_classes).

    max_size: of a batch, as of `batch_size`.
    """
    gradients, logits = _gradients("cross_entropy", model, images, labels, max_size)
    vanished = np.flatnonzero(~gradients.any(axis=(1, 2, 3)))
    if vanished.size:
        gradients[vanished], _ = _gradients(
            "log_odds", model, images[vanished], labels[vanished], max_size
        )
    return gradients, logits


def jacobian_and_logits(
    model: Model, images: np.ndarray, *, max_size: int = MAX_BATCH_SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of all logits, and the logits.

    max_size: of a batch, as of `batch_size`.
    Returns float32 (n, n_classes, h, w, c) and (n, n_classes).
    Raises InvalidInput if the model has no gradient.
    """
    n_classes = logits_of(model, images.shape[1:]).output_shape[-1]
    per_class = [
        _gradients("logit", model, images, np.full(len(images), label, np.int64), max_size)
        for label in range(n_classes)
    ]
    return np.stack([gradients for gradients, _ in per_class], axis=1), per_class[0][1]


def gradient_function(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Function (images, targets) → gradients of the cross-entropy, for use in a training.

    images: float32 (b, h, w, c). targets: float32 (b, n_classes), in sum 1. It computes the whole
    batch at once, whatever its size, with the model's weights at the time of the call.
    Raises InvalidInput if the model has no gradient.
    """
    gradients_and_logits = _compiled("cross_entropy", logits_of(model, model.input_shape[1:]))
    return lambda images, targets: gradients_and_logits(images, targets)[0]


def _gradients(
    value: Value,
    model: Model,
    images: np.ndarray,
    classes: np.ndarray,
    max_size: int = MAX_BATCH_SIZE,
) -> tuple[np.ndarray, np.ndarray]:
    logit_model = logits_of(model, images.shape[1:])
    gradients_and_logits = _compiled(value, logit_model)
    one_hot = np.eye(logit_model.output_shape[-1], dtype=np.float32)[classes]
    outputs = [
        [array[:n] for array in gradients_and_logits(*batch)]
        for n, batch in batches(images, one_hot, max_size=max_size)
    ]
    gradients, logits = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
    return gradients, logits


def _total(value: Value, logits: Any, one_hot: Any) -> Any:
    """Sum over images of a value of logits (n, n_classes); one_hot: the class, (n, n_classes)."""
    ops = keras.ops
    logits = ops.cast(logits, "float32")
    selected = ops.sum(logits * one_hot, axis=-1)
    if value == "logit":
        return ops.sum(selected)
    if value == "log_odds":
        return ops.sum(ops.logsumexp(logits - MASK * one_hot, axis=-1) - selected)
    if value == "margin":
        return ops.sum(ops.max(logits - MASK * one_hot, axis=-1) - selected)
    return ops.sum(ops.categorical_crossentropy(one_hot, logits, from_logits=True))


@lru_cache(maxsize=12)
def _compiled(value: Value, logits: keras.Model) -> GradientsAndLogits:
    """Function of the current backend.

    The last few are cached, with their models: compiling takes longer than many a gradient.
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](
        value, logits
    )


def _tensorflow(value: Value, logits: keras.Model) -> GradientsAndLogits:
    import tensorflow as tf

    accelerate_leaky_relus(logits)

    @tf.function
    def gradients_and_logits(images: Any, one_hot: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = logits(images, training=False)
            total = _total(value, outputs, one_hot)
        return tape.gradient(total, images, unconnected_gradients="zero"), tf.cast(
            outputs, tf.float32
        )

    def values(images: np.ndarray, one_hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient, outputs = gradients_and_logits(tf.constant(images), tf.constant(one_hot))
        return gradient.numpy(), outputs.numpy()

    return values


def _jax(value: Value, logits: keras.Model) -> GradientsAndLogits:
    import jax

    def total(images: Any, one_hot: Any, weights: Any, state: Any) -> tuple[Any, Any]:
        outputs, _ = logits.stateless_call(weights, state, images, training=False)
        return _total(value, outputs, one_hot), keras.ops.cast(outputs, "float32")

    gradients_and_logits = jax.jit(jax.grad(total, has_aux=True))

    def values(images: np.ndarray, one_hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = [variable.value for variable in logits.trainable_variables]
        state = [variable.value for variable in logits.non_trainable_variables]
        gradient, outputs = gradients_and_logits(images, one_hot, weights, state)
        return np.asarray(gradient), np.asarray(outputs)

    return values


def _torch(value: Value, logits: keras.Model) -> GradientsAndLogits:
    import torch

    def values(images: np.ndarray, one_hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.enable_grad():
            pixels = keras.ops.convert_to_tensor(images).detach().clone().requires_grad_(True)
            outputs = logits(pixels, training=False)
            total = _total(value, outputs, keras.ops.convert_to_tensor(one_hot))
            gradient = None
            if total.requires_grad:
                (gradient,) = torch.autograd.grad(total, pixels, allow_unused=True)
        gradients = np.zeros_like(images) if gradient is None else gradient.cpu().numpy()
        return gradients, outputs.detach().float().cpu().numpy()

    return values


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
