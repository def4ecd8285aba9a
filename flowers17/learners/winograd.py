"""Convolutions of 3 × 3 by Winograd's minimal filtering: equal outputs from fewer products.

A tile of 4 × 4 outputs takes 36 products for each pair of channels in place of 144; the transforms
before and after cost little if there are many channels. Outputs differ from the backend's by
float32 rounding, about 1e-5 of their size.
Source: Lavin and Gray 2016, arXiv:1509.09308, sections 3 and 4.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from flowers17.learners.devices import compiled

FEWEST_CHANNELS = 128
TILE, KERNEL_SIDE = 4, 3
INPUT_TILE = TILE + KERNEL_SIDE - 1

# F(4, 3) in one dimension, over the points 0, ±1, ±2 and infinity; a tile has two dimensions, so
# the Kronecker product applies each transform along rows and columns at once.
_INPUT_TRANSFORM: list[list[float]] = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_KERNEL_TRANSFORM: list[list[float]] = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUT_TRANSFORM: list[list[float]] = [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]
_INPUT_TRANSFORM_2D, _KERNEL_TRANSFORM_2D, _OUTPUT_TRANSFORM_2D = (
    np.kron(transform, transform).astype(np.float32)
    for transform in (_INPUT_TRANSFORM, _KERNEL_TRANSFORM, _OUTPUT_TRANSFORM)
)


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
        ops.reshape(ops.matmul(_INPUT_TRANSFORM_2D, tile_values), (INPUT_TILE**2, -1, n_in)),
        ops.reshape(
            ops.matmul(_KERNEL_TRANSFORM_2D, ops.reshape(taps, (KERNEL_SIDE**2, -1))),
            (INPUT_TILE**2, n_in, n_out),
        ),
    )
    outputs = ops.matmul(_OUTPUT_TRANSFORM_2D, ops.reshape(products, (INPUT_TILE**2, -1)))
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
