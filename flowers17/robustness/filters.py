"""Smoothing filters as layers in front of a model, and how an attacker sees through them.

A filter's own gradient may vanish, as that of rounding does, which hides a weakness and does not
mend it. So each layer can pass gradients on as if it were not there, while it filters all the same.
Source: Xu et al. 2018, arXiv:1704.01155 (the filters); Athalye et al. 2018, arXiv:1802.00420,
section 4.1 (backward pass differentiable approximation, by the identity).
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from flowers17.config import FilterSettings
from flowers17.errors import InvalidInput

Gradient = Literal["exact", "identity"]
TRUNCATED = 4.0  # standard deviations, as in scipy.ndimage


class Filter(keras.layers.Layer):
    """A filter of images (n, h, w, c) in [0, 1], channel by channel, always in float32.

    gradient: `exact`, the filter's own, or `identity`, the one that came in.
    """

    def __init__(self, gradient: Gradient = "exact") -> None:
        if gradient not in ("exact", "identity"):
            raise InvalidInput(f"gradient: expected `exact` or `identity`, got {gradient!r}")
        super().__init__(dtype="float32")
        self.gradient = gradient

    @property
    def radius(self) -> int:
        """How far a pixel's new value looks to each side."""
        return 0

    def filtered(self, images: Any) -> Any:
        """Return filtered images, with the filter's own gradient."""
        raise NotImplementedError

    def call(self, images: Any) -> Any:
        """Return filtered images, with the gradient that was asked for."""
        if self.gradient == "exact":
            return self.filtered(images)
        # The bracket is zero to the bit, and its gradient is one.
        return ops.stop_gradient(self.filtered(images)) + (images - ops.stop_gradient(images))

    def build(self, input_shape: Any) -> None:
        """Raise InvalidInput for images that are too small to be mirrored at their edges."""
        if any(side is not None and side <= self.radius for side in input_shape[1:3]):
            raise InvalidInput(
                f"{type(self).__name__}: expected images of more than {self.radius} pixels a side, "
                f"got {tuple(input_shape[1:3])}; choose a weaker filter"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the images, which stays."""
        return input_shape


class Median(Filter):
    """The median of a square around each pixel; edges are mirrored.

    size: side of the square, odd, 3 or more.
    """

    def __init__(self, size: int, gradient: Gradient = "exact") -> None:
        if isinstance(size, bool) or size != int(size) or size < 3 or size % 2 == 0:
            raise InvalidInput(f"size: expected an odd whole number from 3 on, got {size!r}")
        super().__init__(gradient)
        self.size = int(size)

    @property
    def radius(self) -> int:
        """How far a pixel's new value looks to each side."""
        return self.size // 2

    def filtered(self, images: Any) -> Any:
        """Return the medians; the gradient goes to the pixel that is the median."""
        mirrored = _mirrored(images, self.radius, (1, 2))
        down = _shifted(mirrored, self.size, 1)
        return _median([one for row in down for one in _shifted(row, self.size, 2)])


class Gaussian(Filter):
    """A Gaussian blur, cut off at four standard deviations; edges are mirrored.

    sigma: standard deviation in pixels, above 0.
    """

    def __init__(self, sigma: float, gradient: Gradient = "exact") -> None:
        if isinstance(sigma, bool) or not 0 < sigma < np.inf:
            raise InvalidInput(f"sigma: expected a number above 0, got {sigma!r}")
        super().__init__(gradient)
        self.sigma = float(sigma)

    @property
    def radius(self) -> int:
        """How far a pixel's new value looks to each side."""
        return int(TRUNCATED * self.sigma + 0.5)

    def filtered(self, images: Any) -> Any:
        """Return the weighted means, first of columns, then of rows."""
        places = np.arange(-self.radius, self.radius + 1)
        weights = np.exp(-0.5 * (places / self.sigma) ** 2)
        weights = (weights / weights.sum()).astype(np.float32)
        for axis in (1, 2):
            parts = _shifted(_mirrored(images, self.radius, (axis,)), len(places), axis)
            images = sum(float(one) * part for one, part in zip(weights, parts, strict=True))
        return images


class BitDepth(Filter):
    """Fewer grey levels a channel. Its exact gradient is zero everywhere.

    bits: 1 to 8, for 2 to 256 levels.
    """

    def __init__(self, bits: int, gradient: Gradient = "exact") -> None:
        if isinstance(bits, bool) or bits != int(bits) or not 1 <= bits <= 8:
            raise InvalidInput(f"bits: expected a whole number from 1 to 8, got {bits!r}")
        super().__init__(gradient)
        self.bits = int(bits)

    def filtered(self, images: Any) -> Any:
        """Return the nearest levels."""
        highest = float(2**self.bits - 1)
        return ops.stop_gradient(ops.round(images * highest) / highest)


LAYERS: dict[str, Callable[..., Filter]] = {
    "median": Median,
    "gaussian": Gaussian,
    "bits": BitDepth,
}


def layer(which: FilterSettings, gradient: Gradient = "exact") -> Filter:
    """Return the layer that settings describe; raises InvalidInput for a strength out of range."""
    return LAYERS[which.kind](which.strength, gradient)


def behind(front: Filter, model: keras.Model) -> keras.Model:
    """Return a model that sees filtered images; it shares the weights of the model behind."""
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(front(inputs)))


def _median(values: list[Any]) -> Any:
    """Return the elementwise median of an odd number of tensors.

    By exchanges, which is ten times as fast as sorting: of one more than half of the values, the
    least and the greatest cannot be the median, so both go, and one more value comes.
    """
    n_held = len(values) // 2 + 2
    held, waiting = values[:n_held], values[n_held:]
    while len(held) > 1:
        for place in range(len(held) - 1):
            held[place : place + 2] = _exchanged(*held[place : place + 2])
        for place in range(len(held) - 3, -1, -1):
            held[place : place + 2] = _exchanged(*held[place : place + 2])
        held = [*held[1:-1], *waiting[:1]]
        waiting = waiting[1:]
    return held[0]


def _exchanged(one: Any, other: Any) -> tuple[Any, Any]:
    return ops.minimum(one, other), ops.maximum(one, other)


def _mirrored(images: Any, radius: int, axes: tuple[int, ...]) -> Any:
    return ops.pad(
        images, [(radius, radius) if axis in axes else (0, 0) for axis in range(4)], mode="reflect"
    )


def _shifted(images: Any, n: int, axis: int) -> list[Any]:
    """Return n views of images along an axis, each a pixel further, all that fit in everywhere."""
    parts = [slice(place, place - n + 1 or None) for place in range(n)]
    return [images[:, one] if axis == 1 else images[:, :, one] for one in parts]
