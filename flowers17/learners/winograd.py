"""Convolutions of 3 × 3 by Winograd's minimal filtering: the same sums from fewer products.

A tile of 4 × 4 results takes 36 products for each pair of channels in place of 144; the transforms
before and after cost little where there are many channels. Results differ from the backend's own
by float32 rounding, about 1e-5 of their size.
Source: Lavin and Gray 2016, arXiv:1509.09308, sections 3 and 4.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from flowers17.learners.devices import compiled

FEWEST_CHANNELS = 128
TILE, TAPS = 4, 3
READ = TILE + TAPS - 1

# For one dimension, over the points 0, ±1, ±2 and infinity: of what is read, of the kernel, and
# back. A tile has two, so that each is applied along rows and columns at once.
_OF_INPUTS: list[list[float]] = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_OF_KERNEL: list[list[float]] = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_BACK: list[list[float]] = [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]
_INPUTS_2D, _KERNEL_2D, _BACK_2D = (
    np.kron(one, one).astype(np.float32) for one in (_OF_INPUTS, _OF_KERNEL, _BACK)
)


def suits(layer: Any) -> bool:
    """Return whether a layer is a convolution for which it pays.

    Those are float32 convolutions of 3 × 3 in steps of one, padded to the size of their input,
    each from all of at least 128 channels to as many, that are to be trained; on PyTorch, which
    would not compile them, none.
    """
    return (
        keras.backend.backend() != "torch"
        and type(layer) is layers.Conv2D
        and layer.trainable  # what is frozen gives what was stored of it, to the byte
        and layer.kernel_size == (TAPS, TAPS)
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
        and min(layer.kernel.shape[2:]) >= FEWEST_CHANNELS
    )


def convolution(inputs: Any, kernel: Any) -> Any:
    """Return what a convolution in steps of one gives: float32 (n, h, w, n_out).

    inputs: float32 (n, h, w, n_in), padded with zeros to keep h and w. kernel: (3, 3, n_in, n_out).
    """
    return _convolution(inputs, ops.reshape(kernel, (TAPS**2, *kernel.shape[2:])))


@compiled
def _convolution(inputs: Any, taps: Any) -> Any:
    _, h, w, n_in = ops.shape(inputs)
    n_out = taps.shape[-1]
    n_down, n_across = -(-h // TILE), -(-w // TILE)
    beyond = [(1, TILE * n + TILE - 1 - side) for n, side in ((n_down, h), (n_across, w))]
    padded = ops.pad(inputs, [(0, 0), *beyond, (0, 0)])
    tiles = _overlapping(_overlapping(padded, 1, n_down), 3, n_across)
    read = ops.reshape(ops.transpose(tiles, (2, 4, 0, 1, 3, 5)), (READ**2, -1))
    products = ops.matmul(
        ops.reshape(ops.matmul(_INPUTS_2D, read), (READ**2, -1, n_in)),
        ops.reshape(
            ops.matmul(_KERNEL_2D, ops.reshape(taps, (TAPS**2, -1))), (READ**2, n_in, n_out)
        ),
    )
    sums = ops.matmul(_BACK_2D, ops.reshape(products, (READ**2, -1)))
    sums = ops.reshape(sums, (TILE, TILE, -1, n_down, n_across, n_out))
    sums = ops.transpose(sums, (2, 3, 0, 4, 1, 5))
    return ops.reshape(sums, (-1, TILE * n_down, TILE * n_across, n_out))[:, :h, :w]


def _overlapping(padded: Any, axis: int, n_tiles: int) -> Any:
    """Split an axis in two: tiles, and what each reads, of which it shares two with the next."""
    shape = ops.shape(padded)
    cut = ops.reshape(padded, (-1, *shape[1:axis], n_tiles + 1, TILE, *shape[axis + 1 :]))
    before = (slice(None),) * axis
    own, next_ones = cut[(*before, slice(n_tiles))], cut[(*before, slice(1, None))]
    shared = next_ones[(*before, slice(None), slice(READ - TILE))]
    return ops.concatenate([own, shared], axis=axis + 1)
