"""Flowers drawn from code: a stand-in for photographs that needs no download.

Image i of a class depends on the seed, the class and i alone: not on the number of classes or
images, and its scene not on its size. Position, size, turn, tilt, light, colour, background,
other plants in front and sensor noise all vary, so that pixels alone do not tell the class.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from flowers17.data import oxford17
from flowers17.data.blossoms import BLOSSOMS, Blossom, Brush
from flowers17.data.canvas import Canvas, Colour, Surface, rotation, vector
from flowers17.errors import InvalidInput
from flowers17.seeds import generator

SUPERSAMPLING = 2
_GROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((0.16, 0.28, 0.10), (0.36, 0.50, 0.20)),
    ((0.07, 0.13, 0.06), (0.20, 0.30, 0.12)),
    ((0.24, 0.18, 0.11), (0.44, 0.36, 0.24)),
    ((0.42, 0.48, 0.30), (0.62, 0.66, 0.44)),
    ((0.35, 0.42, 0.45), (0.66, 0.74, 0.80)),
    ((0.10, 0.10, 0.10), (0.24, 0.22, 0.20)),
)


def flowers(
    *,
    n_classes: int,
    images_per_class: int,
    size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    allocate: Callable[[tuple[int, ...], type[np.generic]], np.ndarray] = np.empty,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rendered flowers and their classes, in the order of the Flowers-17 classes.

    Returns uint8 (n, size, size, 3) and int64 (n,), class by class.
    allocate: gives the array that the images are written to, of a shape and a type.
    Raises InvalidInput unless 1 ≤ n_classes ≤ 17, images_per_class ≥ 1 and size ≥ 8.
    """
    names = oxford17.CLASS_NAMES
    if not 1 <= n_classes <= len(names):
        raise InvalidInput(f"n_classes: expected 1..{len(names)}, got {n_classes}")
    if images_per_class < 1 or size < 8:
        raise InvalidInput(
            f"rendered flowers: expected images_per_class ≥ 1 and size ≥ 8, got "
            f"{images_per_class} and {size}"
        )
    n_images = n_classes * images_per_class
    images = allocate((n_images, size, size, 3), np.uint8)
    for row in range(n_images):
        label, index = divmod(row, images_per_class)
        images[row] = flower(names[label], index, size=size, seed=seed)
        if progress:
            progress(row + 1, n_images)
    return images, np.repeat(np.arange(n_classes, dtype=np.int64), images_per_class)


def flower(class_name: str, index: int, *, size: int, seed: int) -> np.ndarray:
    """Return one rendered flower, uint8 (size, size, 3)."""
    rng = generator(seed, "rendered", class_name, index)
    canvas = _background(rng, SUPERSAMPLING * size)
    angle = rng.uniform(-np.pi * 0.9, -np.pi * 0.1)
    canvas.light = vector(np.cos(angle), np.sin(angle))
    draw = BLOSSOMS[class_name]
    n_behind = int(rng.choice([0, 0, 0, 1, 2, 3]))
    for _ in range(n_behind):
        origin = rng.uniform(-0.95, 0.95, 2)
        _plant(canvas, origin, rng.uniform(0.18, 0.34), draw, rng)
    if n_behind:
        canvas.blur(rng.uniform(0.0, 0.03))
    radius = float(np.clip(rng.normal(0.58, 0.14), 0.3, 0.9))
    _plant(canvas, rng.normal(0, 0.2, 2) * (1.15 - radius), radius, draw, rng)
    for _ in range(int(rng.choice([0, 0, 0, 1, 1, 2]))):
        _foreground(canvas, rng)
    return _photograph(canvas, rng, size)


def _plant(
    canvas: Canvas,
    origin: np.ndarray,
    radius: float,
    draw: Blossom,
    rng: np.random.Generator,
) -> None:
    """Draw a stem, a few leaves and the flower, each posed at random."""
    green = _green(rng)
    stem = Surface(green, green, belly=0, point=0, bend=rng.normal(0, 0.1), veins=(0, 0))
    canvas.blade(origin, vector(rng.normal(0, 0.25), 2.2), vector(0.05 * radius, 0), stem)
    for _ in range(int(rng.integers(0, 3))):
        lean = rng.uniform(-1.1, 1.1)
        foot = origin + vector(lean * 0.1, rng.uniform(0.7, 1.2))
        leaf = _green(rng)
        canvas.blade(
            foot,
            rotation(lean) @ vector(0, -rng.uniform(0.6, 1.3)),
            rotation(lean) @ vector(rng.uniform(0.06, 0.2), 0),
            _leaf_surface(leaf, 0.6, bend=rng.normal(0, 0.15)),
        )
    tilt = np.cos(abs(rng.normal(0, 0.5)))
    across = rotation(rng.normal(0, 0.5)) @ np.diag([1.0, max(tilt, 0.45)])
    frame = radius * across @ rotation(rng.uniform(0, 2 * np.pi))
    mirror = np.diag([rng.choice([-1.0, 1.0]) * rng.uniform(0.85, 1.1), 1.0])
    upright = radius * rotation(rng.normal(0, 0.22)) @ mirror
    shadow = rng.uniform(0.0, 0.35)
    _shade(canvas, origin - canvas.light * radius * 0.15, radius, shadow)
    face, side = (Brush(canvas, rng, origin, matrix) for matrix in (frame, upright))
    draw(face, side, rng)


def _shade(canvas: Canvas, origin: np.ndarray, radius: float, strength: float) -> None:
    """Darken the surroundings of a flower."""
    coordinates = (np.arange(canvas.side, dtype=np.float32) + 0.5) * (2 / canvas.side) - 1
    x, y = (
        (coordinates - np.float32(origin[0]))[None, :],
        (coordinates - np.float32(origin[1]))[:, None],
    )
    fall = np.exp(-(x * x + y * y) / np.float32(radius * radius))
    canvas.pixels *= (1 - np.float32(strength) * fall)[..., None]


def _green(rng: np.random.Generator) -> Colour:
    light = rng.uniform(0.5, 1.2)
    return (
        float(light * rng.uniform(0.2, 0.42)),
        float(light * rng.uniform(0.42, 0.58)),
        float(light * rng.uniform(0.1, 0.25)),
    )


def _leaf_surface(tip: Colour, dark: float, **form: Any) -> Surface:
    """Surface of a leaf whose base is darker than its tip; `form` as `Surface` takes it."""
    return Surface((tip[0] * dark, tip[1] * dark, tip[2] * dark), tip, **form)


def _background(rng: np.random.Generator, side: int) -> Canvas:
    """Return a canvas of mottled ground, blurred leaves and blurred lights."""
    dark, light = _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    coarse = Canvas(np.zeros((64, 64, 3), np.float32))
    mottle = np.zeros((64, 64), np.float32)
    for n, share in ((3, 0.5), (7, 0.3), (17, 0.2)):
        patches = Image.fromarray(rng.random((n, n), dtype=np.float32))
        mottle += share * np.asarray(patches.resize((64, 64), Image.Resampling.BICUBIC))
    start, end = np.array(dark, np.float32), np.array(light, np.float32)
    coarse.pixels[:] = start + mottle[..., None] * (end - start)
    for _ in range(int(rng.integers(4, 18))):
        turn = rotation(rng.uniform(0, 2 * np.pi))
        leaf = _green(rng)
        coarse.blade(
            rng.uniform(-1.2, 1.2, 2),
            turn @ vector(rng.uniform(0.4, 1.6), 0),
            turn @ vector(0, rng.uniform(0.03, 0.25)),
            _leaf_surface(leaf, 0.6, bend=rng.normal(0, 0.2)),
        )
    for _ in range(int(rng.choice([0, 0, 2, 5, 9]))):
        hue = rng.uniform(0.25, 1.0, 3).tolist()
        coarse.disc(
            rng.uniform(-1, 1, 2), np.eye(2) * rng.uniform(0.05, 0.18), (hue[0], hue[1], hue[2])
        )
    coarse.blur(rng.uniform(0.03, 0.12))
    enlarged = Image.fromarray((np.clip(coarse.pixels, 0, 1) * 255).astype(np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    canvas = Canvas(np.asarray(enlarged, np.float32) / 255)
    for _ in range(int(rng.integers(0, 7))):
        _grass(canvas, rng, rng.uniform(0.5, 1.5))
    return canvas


def _grass(canvas: Canvas, rng: np.random.Generator, length: float) -> None:
    blade = _green(rng)
    lean = rng.normal(0, 0.5)
    canvas.blade(
        vector(rng.uniform(-1.2, 1.2), 1.1),
        rotation(lean) @ vector(0, -length),
        rotation(lean) @ vector(rng.uniform(0.012, 0.045), 0),
        _leaf_surface(blade, 0.7, belly=0.1, point=0.9, bend=rng.normal(0, 0.25)),
    )


def _foreground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a blade of grass or a leaf in front of the flower."""
    if rng.random() < 0.6:
        _grass(canvas, rng, rng.uniform(0.9, 2.0))
        return
    turn = rotation(rng.uniform(0, 2 * np.pi))
    leaf = _green(rng)
    canvas.blade(
        turn @ vector(1.35, rng.normal(0, 0.3)),
        turn @ vector(-rng.uniform(0.5, 1.0), rng.normal(0, 0.2)),
        turn @ vector(0, rng.uniform(0.12, 0.26)),
        _leaf_surface(leaf, 0.7, veins=(0.08, 7)),
    )


def _photograph(canvas: Canvas, rng: np.random.Generator, size: int) -> np.ndarray:
    """Photograph of the canvas: light, exposure, colour cast, haze, noise."""
    factor = canvas.side // size
    scene = canvas.pixels.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    coordinates = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    slope = np.float32(rng.uniform(0, 0.25)) * canvas.light.astype(np.float32)
    gradient = 1 + slope[0] * coordinates[None, :] + slope[1] * coordinates[:, None]
    vignette = 1 - np.float32(rng.uniform(0, 0.15)) * (
        coordinates[None, :] ** 2 + coordinates[:, None] ** 2
    )
    cast = 1 + rng.normal(0, 0.05, 3).astype(np.float32)
    exposure = np.float32(np.exp(rng.normal(0.02, 0.2)))
    haze = np.float32(max(rng.normal(0, 0.08), 0))
    photograph = scene * (gradient * vignette)[..., None] * cast * exposure
    photograph = photograph * (1 - haze) + haze * np.float32(0.8)
    noise = rng.normal(0, rng.uniform(0.004, 0.025), photograph.shape).astype(np.float32)
    # A soft shoulder keeps bright petals from turning into flat white.
    photograph = (
        np.where(photograph > 0.8, 0.8 + 0.2 * np.tanh((photograph - 0.8) / 0.2), photograph)
        + noise
    )
    return (np.clip(photograph, 0, 1) * 255 + 0.5).astype(np.uint8)
