"""Gradients of a model's logits and losses with respect to its images, on every backend of Keras.

Each image has a gradient of its own: nothing is averaged over a batch, and batches have one size.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import keras
import numpy as np

from flowers17.learners.fast_layers import accelerate_leaky_relus
from flowers17.robustness.base import MAX_BATCH_SIZE, Model, batches
from flowers17.robustness.logits import logits_of

Value = Literal["cross_entropy", "log_odds", "logit"]
# (images, one-hot classes) → the gradients of a value, and the logits.
GradientsAndLogits = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

MASK = 1e9  # subtracted from a logit, it takes the class out of a log-sum-exp


def loss_gradients(model: Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Gradient of each image's cross-entropy: float32 (n, h, w, c).

    images: float32 (n, h, w, c) in [0, 1]. labels: int (n,).
    The cross-entropy is that of the logits. Where its gradient is zero in float32, because the
    model is so confident that the other classes' probabilities vanish, the gradient of the log-odds
    against the label replaces it: cross-entropy's divided by 1 - p, which has the same direction
    and does not vanish.
    Raises InvalidInput if the model has no gradient.
    """
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
