"""Fast layers: quicker implementations of a network's layers, equal up to rounding.

Three kinds of layers have one on a processor: wide convolutions in float32 (`winograd`), batch
norms, for which TensorFlow has one kernel where Keras composes them of a dozen, and leaky ReLUs,
whose gradient TensorFlow takes from their input, and so cannot join them to the layer before.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from flowers17.learners import winograd
from flowers17.learners.description import layers_of
from flowers17.learners.devices import compile_quietly, fused_batch_norm, leaky_relu


def accelerate(model: keras.Model, *, convolutions: bool = True) -> None:
    """Let the layers of a model that are to be trained, and suit, compute the quicker way.

    It lasts as long as the model; its weights, and what is saved of it, stay those of ordinary
    layers. convolutions: whether those that suit are computed by minimal filtering, which takes
    seconds to compile.
    """
    found = layers_of(model)
    filtered = [one for one in found if convolutions and winograd.suits(one)]
    if filtered:
        compile_quietly()
    for layer in filtered:
        layer.convolution_op = winograd.convolution
    for layer in filter(_normalises, found):
        layer.call = partial(_normalised, layer)
    accelerate_leaky_relus(model)


def accelerate_leaky_relus(model: keras.Model) -> None:
    """Let the leaky ReLUs of a model that gradients are taken of compute the quicker way.

    TensorFlow tries to join them to the layer before all the same, fails, and tells of it on
    standard error. It lasts as `accelerate` does.
    """
    for layer in filter(_leaks, layers_of(model)):
        layer.call = partial(_leaked, layer)


def fast_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers that compute the quicker way."""
    return [one.name for one in layers_of(model) if {"convolution_op", "call"} & set(vars(one))]


def _normalises(layer: Any) -> bool:
    """Whether a layer is a batch norm over the channels of images, on TensorFlow."""
    return (
        keras.backend.backend() == "tensorflow"
        and type(layer) is layers.BatchNormalization
        and layer.trainable
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not (layer.synchronized or getattr(layer, "renorm", False))  # not in every Keras 3
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _normalised(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Call a batch norm; while it is trained, by one kernel."""
    if not (training and layer.trainable) or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance = fused_batch_norm(inputs, layer.gamma, layer.beta, layer.epsilon)
    for moving, found in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + found * (1.0 - layer.momentum))
    return outputs


def _leaks(layer: Any) -> bool:
    """Whether a layer is a leaky ReLU, or ends in one, on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return False
    if type(layer) in (layers.Conv2D, layers.Dense, layers.Activation):
        return bool(layer.activation is keras.activations.leaky_relu)
    return type(layer) is layers.LeakyReLU


def _leaked(layer: Any, inputs: Any, **options: Any) -> Any:
    """Call a layer with a leaky ReLU whose gradient comes from its output."""
    if type(layer) is layers.LeakyReLU:
        return leaky_relu(inputs, layer.negative_slope)
    layer.activation = leaky_relu
    try:
        return type(layer).call(layer, inputs, **options)
    finally:
        layer.activation = keras.activations.leaky_relu
