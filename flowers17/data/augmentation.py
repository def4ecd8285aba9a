"""Augmented images: random views of an image, the same for the same seed.

Everything that moves pixels (zoom, flips, shift, rotation, shear) is one affine map, and an image
is sampled through it once, bilinearly; what lies outside shows the nearest edge, and colour is one
matrix. `RANGES` holds the ranges of each augmentation: `zoom`, `flips` and `wide` are the study's
#1, #2 and #3, `strong` is our own. Parameters have the meaning and order that they have in Keras's
ImageDataGenerator.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from PIL import Image

from flowers17.config import AugmentationName
from flowers17.data.warping import Sampler, array_description, check_pixels
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.files import yaml_beside
from flowers17.seeds import derived_seed


@dataclass(frozen=True)
class Warp:
    """Geometric and colour changes of one image.

    zoom_x, zoom_y: share of the width and height that is shown; below 1 enlarges.
    flip_x: left and right are exchanged; flip_y: top and bottom. shift_x, shift_y: parts of width
    and height. rotation, shear: degrees. brightness, contrast, saturation: factors; 1 changes none.
    """

    zoom_x: float
    zoom_y: float
    flip_x: bool
    flip_y: bool
    shift_x: float
    shift_y: float
    rotation: float
    shear: float
    brightness: float
    contrast: float
    saturation: float


@dataclass(frozen=True)
class Ranges:
    """Ranges of an augmentation; each value is drawn uniformly and independently.

    zoom: range of the factor of each axis. area: range of the part of the image's area shown;
    aspect: largest factor between width and height, either way, log-uniformly. flip_x, flip_y: with
    probability 1/2. shift_x, shift_y, rotation, shear: at most that much, either way, in the units
    of `Warp`. colour: factors of brightness, contrast and saturation leave 1 by at most that much.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    area: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    flip_x: bool = False
    flip_y: bool = False
    shift_x: float = 0.0
    shift_y: float = 0.0
    rotation: float = 0.0
    shear: float = 0.0
    colour: float = 0.0


_TABLE = yaml_beside(__file__, "known/augmentations.yaml")
RANGES: Mapping[AugmentationName, Ranges] = {name: Ranges(**row) for name, row in _TABLE.items()}

_N_DRAWS = 13
_TO_GREY = np.tile([0.299, 0.587, 0.114], (3, 1))
_MID_GREY = 127.5


def augmented(image: np.ndarray, name: AugmentationName, seed: int) -> np.ndarray:
    """Return a random view of an image: the same image, name and seed give the same bytes.

    image: uint8 (h, w, 3), left as it is; returns uint8 (h, w, 3).
    Raises InvalidInput for another dtype or shape or a negative seed, InvalidSettings for an
    unknown name.
    """
    check_pixels(image, "(h, w, 3)")
    out = np.empty_like(image, order="C")
    _write_view(image, warp_parameters(name, seed), Sampler(*image.shape[:2]), out)
    return out


def augmented_batch(
    images: np.ndarray,
    rows: np.ndarray,
    name: AugmentationName,
    *,
    root: int,
    epoch: int,
) -> np.ndarray:
    """Return random views of images, each equal to `augmented` of its `image_seed`.

    images: uint8 (n, h, w, 3), a whole set; rows: int (b,), in any order; returns uint8
    (b, h, w, 3). A view depends on root, epoch and its row alone, never on the other rows.
    Raises InvalidInput for another dtype or shape, or a row out of range; InvalidSettings for an
    unknown name.
    """
    check_pixels(images, "(n, h, w, 3)")
    if not (isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu"):
        raise InvalidInput(f"rows: expected integers (b,), got {array_description(rows)}")
    if (wrong := rows[(rows < 0) | (rows >= len(images))]).size:
        raise InvalidInput(f"rows: expected 0..{len(images) - 1}, got {wrong[0]}")
    indices = rows.tolist()
    warps = [warp_parameters(name, image_seed(root, epoch, row)) for row in indices]
    out = np.empty((len(indices), *images.shape[1:]), np.uint8)
    sampler = Sampler(*images.shape[1:3])
    for view, row, warp in zip(out, indices, warps, strict=True):
        _write_view(images[row], warp, sampler, view)
    return out


def image_seed(root: int, epoch: int, row: int) -> int:
    """Return the seed of one image in one epoch of the training with that root seed.

    Raises InvalidInput if one of them is no whole number of at least 0.
    """
    for value, name in ((root, "root"), (epoch, "epoch"), (row, "row")):
        _check_whole_number(value, name)
    return derived_seed(root, "epoch", epoch, "augment", row)


def warp_parameters(name: AugmentationName, seed: int) -> Warp:
    """Return the random warp of an augmentation, drawn within its `RANGES`.

    Raises InvalidSettings for an unknown name, InvalidInput for a negative seed.
    """
    if not isinstance(name, str) or name not in RANGES:
        raise InvalidSettings(
            f"augmentation: expected one of {', '.join(get_args(AugmentationName))}, got {name!r}"
        )
    _check_whole_number(seed, "seed")
    ranges = RANGES[name]
    # Always as many draws in the same order, so that a range never moves the others' draws.
    draws = np.random.default_rng(seed).random(_N_DRAWS).tolist()
    signed_draws = [2 * draw - 1 for draw in draws]
    area = _between(ranges.area, draws[2])
    aspect = ranges.aspect ** signed_draws[3]
    return Warp(
        zoom_x=_between(ranges.zoom, draws[0]) * math.sqrt(area * aspect),
        zoom_y=_between(ranges.zoom, draws[1]) * math.sqrt(area / aspect),
        flip_x=ranges.flip_x and draws[4] < 0.5,
        flip_y=ranges.flip_y and draws[5] < 0.5,
        shift_x=ranges.shift_x * signed_draws[6],
        shift_y=ranges.shift_y * signed_draws[7],
        rotation=ranges.rotation * signed_draws[8],
        shear=ranges.shear * signed_draws[9],
        brightness=1 + ranges.colour * signed_draws[10],
        contrast=1 + ranges.colour * signed_draws[11],
        saturation=1 + ranges.colour * signed_draws[12],
    )


def affine_matrix(warp: Warp, height: int, width: int) -> np.ndarray:
    """Affine map of a warp for images of one size, as `Sampler.write` takes it: float64 (2, 3).

    From right to left, about the centre: flips, zoom, shear, shift, rotation, the order of Keras's
    `apply_affine_transform`.
    """
    rotation, shear = math.radians(warp.rotation), math.radians(warp.shear)
    cos, sin = math.cos(rotation), math.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])
    skew = np.array([[1.0, -math.sin(shear)], [0.0, math.cos(shear)]])
    scale = np.array([-warp.zoom_x if warp.flip_x else warp.zoom_x, warp.zoom_y])
    scale[1] *= -1 if warp.flip_y else 1
    linear = turn @ skew * scale
    centre = np.array([width / 2, height / 2])
    shift = turn @ (warp.shift_x * width, warp.shift_y * height)
    return np.column_stack([linear, centre + shift - linear @ centre])


def colour_matrix(warp: Warp) -> np.ndarray:
    """Colour map of a warp, float64 (3, 4): it takes (r, g, b, 1) to the new values.

    Saturation away from the pixel's grey, then contrast away from mid-grey, then brightness. Counts
    to 1/4096, so that Pillow's 32-bit arithmetic is exact and the same on every processor.
    """
    saturation = _TO_GREY + warp.saturation * (np.eye(3) - _TO_GREY)
    linear = warp.brightness * warp.contrast * saturation
    offset = warp.brightness * (1 - warp.contrast) * _MID_GREY
    return np.rint(np.column_stack([linear, np.full(3, offset)]) * 4096) / 4096


def _write_view(image: np.ndarray, warp: Warp, sampler: Sampler, out: np.ndarray) -> None:
    moved = (warp.shift_x, warp.shift_y, warp.rotation, warp.shear)
    if (warp.zoom_x, warp.zoom_y) == (1, 1) and not any(moved):
        out[...] = image[:: -1 if warp.flip_y else 1, :: -1 if warp.flip_x else 1]
    else:
        sampler.write(image, affine_matrix(warp, *image.shape[:2]), out)
    if (warp.brightness, warp.contrast, warp.saturation) != (1, 1, 1):
        matrix = tuple(colour_matrix(warp).ravel().tolist())
        out[...] = np.asarray(Image.fromarray(out).convert("RGB", matrix))


def _between(ends: tuple[float, float], fraction: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * fraction


def _check_whole_number(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InvalidInput(f"{name}: expected a whole number of at least 0, got {value!r}")
