"""Fast layers: faster implementations of a network's layers, equal up to rounding.

Three kinds of layers have one on a processor. Wide convolutions in float32 use minimal filtering
(`winograd`). Batch norms use one fused TensorFlow kernel in place of Keras's dozen operations.
Leaky ReLUs take their gradient from their output, so that TensorFlow fuses them with the layer
before.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from flowers17.learners import winograd
from flowers17.learners.description import layers_of
from flowers17.learners.devices import compile_quietly, fused_batch_norm, leaky_relu


def accelerate(model: keras.Model, *, convolutions: bool = True) -> None:
    """Give the trainable layers of a model their fast implementations.

    They last as long as the model object; weights and saved models stay those of ordinary layers.
    convolutions: whether eligible ones use minimal filtering, which takes seconds to compile.
    """
    flat = layers_of(model)
    wide = [layer for layer in flat if convolutions and winograd.is_eligible(layer)]
    if wide:
        compile_quietly()
    for layer in wide:
        layer.convolution_op = winograd.convolution
    for layer in filter(_is_fusible_norm, flat):
        layer.call = partial(_fused_norm, layer)
    accelerate_leaky_relus(model)


def accelerate_leaky_relus(model: keras.Model) -> None:
    """Give the leaky ReLUs of a model their fast implementation; for models under a gradient tape.

    Without it, TensorFlow tries to fuse them with the layer before, fails, and logs an error.
    """
    for layer in filter(_has_leaky_relu, layers_of(model)):
        layer.call = partial(_fused_leaky_relu, layer)


def fast_layers(model: keras.Model) -> list[str]:
    """Names of a model's fast layers."""
    overridden = {"convolution_op", "call"}
    return [layer.name for layer in layers_of(model) if overridden & set(vars(layer))]


def _is_fusible_norm(layer: Any) -> bool:
    """Whether a layer is a trainable batch norm over the channels of images, on TensorFlow."""
    return (
        keras.backend.backend() == "tensorflow"
        and type(layer) is layers.BatchNormalization
        and layer.trainable
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not (layer.synchronized or getattr(layer, "renorm", False))  # not in every Keras 3
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _fused_norm(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Call a batch norm, by the fused kernel in training."""
    if not (training and layer.trainable) or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance = fused_batch_norm(inputs, layer.gamma, layer.beta, layer.epsilon)
    for average, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        average.assign(average * layer.momentum + value * (1.0 - layer.momentum))
    return outputs


def _has_leaky_relu(layer: Any) -> bool:
    """Whether a layer is a leaky ReLU, or ends in one, on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return False
    if type(layer) in (layers.Conv2D, layers.Dense, layers.Activation):
        return bool(layer.activation is keras.activations.leaky_relu)
    return type(layer) is layers.LeakyReLU


def _fused_leaky_relu(layer: Any, inputs: Any, **options: Any) -> Any:
    """Call a layer with a leaky ReLU whose gradient comes from its output."""
    if type(layer) is layers.LeakyReLU:
        return leaky_relu(inputs, layer.negative_slope)
    layer.activation = leaky_relu
    try:
        return type(layer).call(layer, inputs, **options)
    finally:
        layer.activation = keras.activations.leaky_relu
