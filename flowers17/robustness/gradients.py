"""Gradients of a model's logits and losses with respect to its images, on every backend of Keras.

Each image's gradient is its own: nothing is averaged over a batch, and batches have one size.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import keras
import numpy as np

from flowers17.learners.fast_layers import accelerate_leaky_relus
from flowers17.robustness.base import MOST_AT_ONCE, Model, batches
from flowers17.robustness.logits import logits_of

Value = Literal["cross_entropy", "log_odds", "logit"]
# (images, one-hot) → the gradients of a value and the logits that it was taken of.
Both = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

FAR = 1e9


def loss_gradients(model: Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the gradient of each image's cross-entropy: float32 (n, h, w, c).

    images: float32 (n, h, w, c) in [0, 1]. labels: int (n,).
    It is taken of the logits. Where it is zero in all of float32, as for a model so sure that the
    other classes' probabilities vanish, it is the gradient of the log-odds against the label
    instead: cross-entropy's divided by 1 - p, which has the same direction and does not vanish.
    Raises InvalidInput if the model cannot be followed.
    """
    return loss_gradients_and_logits(model, images, labels)[0]


def loss_gradients_and_logits(
    model: Model, images: np.ndarray, labels: np.ndarray, *, most: int = MOST_AT_ONCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `loss_gradients` does, and the logits that they were taken of.

    most: how many small images are computed at once. Returns float32 (n, h, w, c) and (n, k).
    """
    found, logits = _gradients("cross_entropy", model, images, labels, most)
    lost = np.flatnonzero(~found.any(axis=(1, 2, 3)))
    if lost.size:
        found[lost], _ = _gradients("log_odds", model, images[lost], labels[lost], most)
    return found, logits


def class_gradients(model: Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the gradient of one class's logit for each image: float32 (n, h, w, c).

    classes: int (n,). Raises InvalidInput if the model cannot be followed.
    """
    return _gradients("logit", model, images, classes)[0]


def jacobian_and_logits(
    model: Model, images: np.ndarray, *, most: int = MOST_AT_ONCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of all logits, and the logits.

    most: how many small images are computed at once.
    Returns float32 (n, k, h, w, c), class by class, and (n, k).
    Raises InvalidInput if the model cannot be followed.
    """
    n_classes = logits_of(model, images.shape[1:]).output_shape[-1]
    every = [np.full(len(images), one, np.int64) for one in range(n_classes)]
    found = [_gradients("logit", model, images, one, most) for one in every]
    return np.stack([gradients for gradients, _ in found], axis=1), found[0][1]


def gradient_function(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function (images, targets) → gradients of cross-entropy, for use in a training.

    images: float32 (b, h, w, c). targets: float32 (b, n_classes), in sum 1. It computes the whole
    batch at once, whatever its size, with the weights that the model has by then.
    Raises InvalidInput if the model cannot be followed.
    """
    both = _compiled("cross_entropy", logits_of(model, model.input_shape[1:]))
    return lambda images, targets: both(images, targets)[0]


def _gradients(
    value: Value,
    model: Model,
    images: np.ndarray,
    classes: np.ndarray,
    most: int = MOST_AT_ONCE,
) -> tuple[np.ndarray, np.ndarray]:
    logits = logits_of(model, images.shape[1:])
    both = _compiled(value, logits)
    chosen = np.eye(logits.output_shape[-1], dtype=np.float32)[classes]
    found = [[one[:n] for one in both(*parts)] for n, parts in batches(images, chosen, most=most)]
    gradients, said = (np.concatenate(one) for one in zip(*found, strict=True))
    return gradients, said


def _total(value: Value, logits: Any, chosen: Any) -> Any:
    """Return the sum over images of a value of logits (n, k); chosen: one-hot (n, k)."""
    ops = keras.ops
    logits = ops.cast(logits, "float32")
    of_chosen = ops.sum(logits * chosen, axis=-1)
    if value == "logit":
        return ops.sum(of_chosen)
    if value == "log_odds":
        return ops.sum(ops.logsumexp(logits - FAR * chosen, axis=-1) - of_chosen)
    return ops.sum(ops.categorical_crossentropy(chosen, logits, from_logits=True))


@lru_cache(maxsize=12)
def _compiled(value: Value, logits: keras.Model) -> Both:
    """Return the function of one backend.

    The last few are kept, with their models: compiling takes longer than many a gradient.
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](
        value, logits
    )


def _tensorflow(value: Value, logits: keras.Model) -> Both:
    import tensorflow as tf

    accelerate_leaky_relus(logits)

    @tf.function
    def both(images: Any, chosen: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            said = logits(images, training=False)
            total = _total(value, said, chosen)
        return tape.gradient(total, images, unconnected_gradients="zero"), tf.cast(said, tf.float32)

    def values(images: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient, said = both(tf.constant(images), tf.constant(chosen))
        return gradient.numpy(), said.numpy()

    return values


def _jax(value: Value, logits: keras.Model) -> Both:
    import jax

    def total(images: Any, chosen: Any, weights: Any, state: Any) -> tuple[Any, Any]:
        said, _ = logits.stateless_call(weights, state, images, training=False)
        return _total(value, said, chosen), keras.ops.cast(said, "float32")

    both = jax.jit(jax.grad(total, has_aux=True))

    def values(images: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = [one.value for one in logits.trainable_variables]
        state = [one.value for one in logits.non_trainable_variables]
        gradient, said = both(images, chosen, weights, state)
        return np.asarray(gradient), np.asarray(said)

    return values


def _torch(value: Value, logits: keras.Model) -> Both:
    import torch

    def values(images: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.enable_grad():
            given = keras.ops.convert_to_tensor(images).detach().clone().requires_grad_(True)
            said = logits(given, training=False)
            total = _total(value, said, keras.ops.convert_to_tensor(chosen))
            gradient = None
            if total.requires_grad:
                (gradient,) = torch.autograd.grad(total, given, allow_unused=True)
        found = np.zeros_like(images) if gradient is None else gradient.cpu().numpy()
        return found, said.detach().float().cpu().numpy()

    return values
