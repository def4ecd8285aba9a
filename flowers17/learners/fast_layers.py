"""Fast layers: faster implementations of a network's layers, equal up to rounding.

Three kinds of layers have one on a processor. Wide convolutions of 3 × 3 in float32 use Winograd's
minimal filtering: a tile of 4 × 4 outputs takes 36 products for each pair of channels in place of
144; the transforms before and after cost little if there are many channels. Outputs differ from the
backend's by rounding, about 1e-5 of their size. Batch norms use one fused TensorFlow kernel in
place of Keras's dozen operations. Leaky ReLUs take their gradient from their output, so that
TensorFlow fuses them with the layer before.
Source of the filtering: Lavin and Gray 2016, arXiv:1509.09308, sections 3 and 4.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from flowers17.files import yaml_beside
from flowers17.learners.devices import compile_quietly, compiled, fused_batch_norm, leaky_relu
from flowers17.learners.networks import layers_of

FEWEST_CHANNELS = 128
TILE, KERNEL_SIDE = 4, 3
INPUT_TILE = TILE + KERNEL_SIDE - 1

_TRANSFORMS = yaml_beside(__file__, "known/winograd.yaml")
# A tile has two dimensions: the Kronecker product transforms rows and columns at once.
_INPUT_TRANSFORM, _KERNEL_TRANSFORM, _OUTPUT_TRANSFORM = (
    np.kron(transform, transform).astype(np.float32)
    for transform in (
        np.array(_TRANSFORMS["input"]),
        np.array(_TRANSFORMS["kernel"]) / 24,
        np.array(_TRANSFORMS["output"]),
    )
)


def accelerate(model: keras.Model, *, convolutions: bool = True) -> None:
    """Give the trainable layers of a model their fast implementations.

    They last as long as the model object; weights and saved models stay those of ordinary layers.
    convolutions: whether eligible ones use minimal filtering, which takes seconds to compile.
    """
    flat = layers_of(model)
    wide = [layer for layer in flat if convolutions and is_eligible(layer)]
    if wide:
        compile_quietly()
    for layer in wide:
        layer.convolution_op = convolution
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


def is_eligible(layer: Any) -> bool:
    """Whether minimal filtering makes a layer faster.

    Eligible are trainable float32 convolutions of 3 × 3 with stride 1, `same` padding, no groups,
    and at least 128 channels on both sides; none on PyTorch, which would not compile them.
    """
    return (
        keras.backend.backend() != "torch"
        and type(layer) is layers.Conv2D
        and layer.trainable  # frozen ones must reproduce stored activations to the byte
        and layer.kernel_size == (KERNEL_SIDE, KERNEL_SIDE)
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
        and min(layer.kernel.shape[2:]) >= FEWEST_CHANNELS
    )


def convolution(inputs: Any, kernel: Any) -> Any:
    """Convolution with stride 1 and `same` padding: float32 (n, h, w, n_out).

    inputs: float32 (n, h, w, n_in). kernel: float32 (3, 3, n_in, n_out).
    """
    return _convolution(inputs, ops.reshape(kernel, (KERNEL_SIDE**2, *kernel.shape[2:])))


@compiled
def _convolution(inputs: Any, taps: Any) -> Any:
    _, h, w, n_in = ops.shape(inputs)
    n_out = taps.shape[-1]
    n_down, n_across = -(-h // TILE), -(-w // TILE)
    padding = [(1, TILE * n + TILE - 1 - side) for n, side in ((n_down, h), (n_across, w))]
    padded = ops.pad(inputs, [(0, 0), *padding, (0, 0)])
    tiles = _overlapping(_overlapping(padded, 1, n_down), 3, n_across)
    tile_values = ops.reshape(ops.transpose(tiles, (2, 4, 0, 1, 3, 5)), (INPUT_TILE**2, -1))
    products = ops.matmul(
        ops.reshape(ops.matmul(_INPUT_TRANSFORM, tile_values), (INPUT_TILE**2, -1, n_in)),
        ops.reshape(
            ops.matmul(_KERNEL_TRANSFORM, ops.reshape(taps, (KERNEL_SIDE**2, -1))),
            (INPUT_TILE**2, n_in, n_out),
        ),
    )
    outputs = ops.matmul(_OUTPUT_TRANSFORM, ops.reshape(products, (INPUT_TILE**2, -1)))
    outputs = ops.reshape(outputs, (TILE, TILE, -1, n_down, n_across, n_out))
    outputs = ops.transpose(outputs, (2, 3, 0, 4, 1, 5))
    return ops.reshape(outputs, (-1, TILE * n_down, TILE * n_across, n_out))[:, :h, :w]


def _overlapping(padded: Any, axis: int, n_tiles: int) -> Any:
    """Split an axis in two, tile and value; a tile shares its last two values with the next."""
    shape = ops.shape(padded)
    tiles = ops.reshape(padded, (-1, *shape[1:axis], n_tiles + 1, TILE, *shape[axis + 1 :]))
    leading_axes = (slice(None),) * axis
    own, following = tiles[(*leading_axes, slice(n_tiles))], tiles[(*leading_axes, slice(1, None))]
    shared = following[(*leading_axes, slice(None), slice(INPUT_TILE - TILE))]
    return ops.concatenate([own, shared], axis=axis + 1)
