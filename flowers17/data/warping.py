"""Images seen through an affine map: one bilinear interpolation, outside the nearest edge.

All arithmetic on pixels is on integers, the same on every processor. The three channels of a pixel
are lanes of one 64-bit integer, so that a step of the interpolation is one operation for all three.
Positions count to 1/64 of a pixel, values are rounded to the nearest.
"""

import math

import numpy as np

from flowers17.errors import InvalidInput

_LANE = 21  # bits: 8 of a value and 6 for the fraction along each axis fit in
_FRACTION = 6
_HALF = sum(1 << (_LANE * channel + 2 * _FRACTION - 1) for channel in range(3))
_BLOCK_PIXELS = 2**13  # sampled at a time: more leave the cache, fewer are mostly overhead


class Sampler:
    """Samples images of one size through affine maps, some lines at a time.

    Its arrays are used again and again, and are small enough to stay in the processor's cache.
    """

    def __init__(self, height: int, width: int) -> None:
        self._shape = (height, width)
        self._n_lines = min(height, max(1, _BLOCK_PIXELS // width))
        n_pixels = self._n_lines * width
        self._columns, self._lines = np.arange(width) + 0.5, np.arange(height) + 0.5
        # A pixel's neighbours below and to the right lie behind it; the last ones have none.
        self._packed = np.zeros(height * width + width + 1, np.uint64)
        self._corners = np.empty((4, n_pixels), np.uint64)
        self._fractions = np.empty((2, n_pixels), np.uint64)
        self._positions = np.empty((2, n_pixels), np.int32)
        self._index = np.empty(n_pixels, np.intp)

    def write(self, image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
        """Write an image, sampled bilinearly through an affine map; outside it, its nearest edge.

        image, out: uint8 (h, w, 3) of this size; matrix: float (2, 3), takes (x, y, 1) of a point
        in the result to (x, y) of the point in the image that is shown there, in pixels from the
        top left corner, so that the first pixel's centre is (0.5, 0.5); it leads at most 2**23
        pixels away.
        """
        height, width = self._shape
        packed = self._packed[: height * width].reshape(height, width)
        packed[...] = image[:, :, 2]
        for channel in (1, 0):
            packed <<= _LANE
            packed |= image[:, :, channel]
        starts = [_fixed(along_x * self._columns + (offset - 0.5)) for along_x, _, offset in matrix]
        steps = [_fixed(along_y * self._lines)[:, None] for _, along_y, _ in matrix]
        for first in range(0, height, self._n_lines):
            lines = slice(first, first + self._n_lines)
            self._write_lines(starts, [step[lines] for step in steps], out[lines])

    def _write_lines(
        self, starts: list[np.ndarray], steps: list[np.ndarray], out: np.ndarray
    ) -> None:
        # The pixel up and left of each position, and how far the position is behind it.
        height, width = self._shape
        shape = (len(steps[0]), width)
        n_pixels = math.prod(shape)
        x, y = positions = self._positions[:, :n_pixels]
        for position, start, step, length in zip(
            (x, y), starts, steps, (width, height), strict=True
        ):
            np.add(start, step, out=position.reshape(shape))
            np.minimum(position, (length - 1) << _FRACTION, out=position)
        np.maximum(positions, 0, out=positions)
        fractions = self._fractions[:, :n_pixels]
        fractions[...] = positions
        fractions &= (1 << _FRACTION) - 1
        positions >>= _FRACTION
        y *= width
        index, corners = self._index[:n_pixels], self._corners[:, :n_pixels]
        np.add(x, y, out=index)
        for corner, behind in zip(corners, (0, 1, width, width + 1), strict=True):
            # All indices exist; this mode alone writes into `corner` without a copy.
            self._packed[behind:].take(index, mode="clip", out=corner)
        top_left, top_right, bottom_left, bottom_right = corners
        _mix(top_left, top_right, fractions[0])
        _mix(bottom_left, bottom_right, fractions[0])
        _mix(top_left, bottom_left, fractions[1])
        top_left += _HALF
        top_left >>= 2 * _FRACTION
        for channel in range(3):
            out[:, :, channel] = top_left.reshape(out.shape[:2])
            top_left >>= _LANE


def _fixed(positions: np.ndarray) -> np.ndarray:
    return np.rint(positions * (1 << _FRACTION)).astype(np.int32)


def _mix(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> None:
    """Replace `first` by the mean of both, weighted by the fraction and times 64; spoils `second`.

    A lane of the difference may be negative and borrow from the next: the sum gives it back.
    """
    second -= first
    second *= fraction
    first <<= _FRACTION
    first += second


def check_pixels(array: object, shape: str) -> None:
    """Raise InvalidInput if an array is empty or not uint8 of a shape such as `(n, h, w, 3)`."""
    if isinstance(array, np.ndarray):
        n_axes = shape.count(",") + 1
        if array.dtype == np.uint8 and array.ndim == n_axes and array.shape[-1] == 3 and array.size:
            return
    raise InvalidInput(f"images: expected pixels as uint8 {shape}, got {array_description(array)}")


def array_description(value: object) -> str:
    """Description of a value for messages: dtype and shape of an array, else its `repr`."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
