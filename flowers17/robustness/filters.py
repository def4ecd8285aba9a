"""Smoothing filters as layers in front of a model, with the gradients that attackers take of them.

A filter's own gradient may vanish, as that of rounding does. That masks the gradient and does not
make the model robust. So each layer can filter images and pass gradients through unchanged.
Source: Xu et al. 2018, arXiv:1704.01155 (the filters); Athalye et al. 2018, arXiv:1802.00420,
section 4.1 (backward pass differentiable approximation, by the identity).
"""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from flowers17.config import FilterSettings
from flowers17.errors import InvalidInput

Gradient = Literal["exact", "identity"]
TRUNCATE = 4.0  # standard deviations, as in scipy.ndimage


class Filter(keras.layers.Layer):
    """A filter of images (n, h, w, c) in [0, 1], channel by channel, always in float32.

    gradient: `exact`, the filter's own, or `identity`, as if it were not there. radius: pixels to
    each side that a filtered value depends on.
    """

    def __init__(self, gradient: Gradient = "exact", radius: int = 0) -> None:
        super().__init__(dtype="float32")
        self.gradient, self.radius = gradient, radius

    def filtered(self, images: Any) -> Any:
        """Filtered images, with the filter's own gradient."""
        raise NotImplementedError

    def call(self, images: Any) -> Any:
        """Filtered images, with the gradient of the layer's setting."""
        if self.gradient == "exact":
            return self.filtered(images)
        # The bracket is zero to the bit, and its gradient is one.
        return ops.stop_gradient(self.filtered(images)) + (images - ops.stop_gradient(images))

    def build(self, input_shape: Any) -> None:
        """Raise InvalidInput for images that are too small to be reflected at their edges."""
        if any(side is not None and side <= self.radius for side in input_shape[1:3]):
            raise InvalidInput(
                f"{type(self).__name__}: expected images of more than {self.radius} pixels a side, "
                f"got {tuple(input_shape[1:3])}; choose a weaker filter"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the images, which a filter keeps."""
        return input_shape


class Median(Filter):
    """The median of a square around each pixel; edges are reflected.

    size: side of the square, odd, 3 or more.
    """

    def __init__(self, size: int, gradient: Gradient = "exact") -> None:
        if isinstance(size, bool) or size != int(size) or size < 3 or size % 2 == 0:
            raise InvalidInput(f"size: expected an odd whole number from 3 on, got {size!r}")
        super().__init__(gradient, int(size) // 2)
        self.size = int(size)

    def filtered(self, images: Any) -> Any:
        """Medians; the gradient goes to the pixel that is the median."""
        padded = _reflected(images, self.radius, (1, 2))
        rows = _shifted_views(padded, self.size, 1)
        return _median([view for row in rows for view in _shifted_views(row, self.size, 2)])


class Gaussian(Filter):
    """A Gaussian blur, truncated at four standard deviations; edges are reflected.

    sigma: standard deviation in pixels, above 0.
    """

    def __init__(self, sigma: float, gradient: Gradient = "exact") -> None:
        if isinstance(sigma, bool) or not 0 < sigma < np.inf:
            raise InvalidInput(f"sigma: expected a number above 0, got {sigma!r}")
        super().__init__(gradient, int(TRUNCATE * sigma + 0.5))
        self.sigma = float(sigma)

    def filtered(self, images: Any) -> Any:
        """Weighted means, first along columns, then along rows."""
        offsets = np.arange(-self.radius, self.radius + 1)
        weights = np.exp(-0.5 * (offsets / self.sigma) ** 2)
        weights = (weights / weights.sum()).astype(np.float32)
        for axis in (1, 2):
            views = _shifted_views(_reflected(images, self.radius, (axis,)), len(offsets), axis)
            images = sum(float(weight) * view for weight, view in zip(weights, views, strict=True))
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
        """Nearest levels."""
        highest = float(2**self.bits - 1)
        return ops.stop_gradient(ops.round(images * highest) / highest)


def filter_layer(settings: FilterSettings, gradient: Gradient = "exact") -> Filter:
    """Layer that settings describe; raises InvalidInput for a strength out of range."""
    layers: dict[str, Any] = {"median": Median, "gaussian": Gaussian, "bits": BitDepth}
    layer: Filter = layers[settings.kind](settings.strength, gradient)
    return layer


def filtered_model(image_filter: Filter, model: keras.Model) -> keras.Model:
    """Model with a filter in front; it shares the weights of the model."""
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(image_filter(inputs)))


def _median(values: list[Any]) -> Any:
    """Elementwise median of an odd number of tensors.

    By exchanges, which is ten times as fast as sorting: of one more than half of the values, the
    minimum and the maximum cannot be the median, so they are dropped, and one more value is added.
    """
    n_candidates = len(values) // 2 + 2
    candidates, remaining = values[:n_candidates], values[n_candidates:]
    while len(candidates) > 1:
        for index in range(len(candidates) - 1):
            candidates[index : index + 2] = _ordered(*candidates[index : index + 2])
        for index in range(len(candidates) - 3, -1, -1):
            candidates[index : index + 2] = _ordered(*candidates[index : index + 2])
        candidates = [*candidates[1:-1], *remaining[:1]]
        remaining = remaining[1:]
    return candidates[0]


def _ordered(a: Any, b: Any) -> tuple[Any, Any]:
    return ops.minimum(a, b), ops.maximum(a, b)


def _reflected(images: Any, radius: int, axes: tuple[int, ...]) -> Any:
    return ops.pad(
        images, [(radius, radius) if axis in axes else (0, 0) for axis in range(4)], mode="reflect"
    )


def _shifted_views(images: Any, n: int, axis: int) -> list[Any]:
    """N views of images along an axis, each shifted by one more pixel, and of equal size."""
    windows = [slice(offset, offset - n + 1 or None) for offset in range(n)]
    return [images[:, window] if axis == 1 else images[:, :, window] for window in windows]
