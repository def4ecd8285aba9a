"""Flowers drawn from code: a stand-in for photographs that needs no download.

Image i of a class depends on the seed, the class and i alone: not on the number of classes or
images, and its scene not on its size. Position, size, turn, tilt, light, colour, background,
other plants in front and sensor noise all vary, so that pixels alone do not tell the class.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flowers17.data import oxford17
from flowers17.data.drawing import Part, Pen, palette, rotation
from flowers17.errors import InvalidInput
from flowers17.files import yaml_beside
from flowers17.seeds import generator

SUPERSAMPLING = 3
_GROUND_SIDE = 96  # pixels of the ground, which is blurred and then enlarged


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
    angle = np.radians(rng.uniform(-162, -18))
    light = np.array([np.cos(angle), np.sin(angle)])
    scene = _ground(rng, light).resize((SUPERSAMPLING * size,) * 2, Image.Resampling.BICUBIC)
    pen = _pen(scene, rng, light)
    for _ in range(rng.integers(7)):
        _grow(pen, "grass", (rng.uniform(-1.2, 1.2), 1.1), rng.normal(0, 28))
    n_behind = int(rng.choice([0, 0, 0, 1, 2, 3]))
    for _ in range(n_behind):
        _plant(pen.at(rng.uniform(-0.95, 0.95, 2), 0, rng.uniform(0.18, 0.34)), class_name)
    if n_behind:
        scene.paste(scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.015) * scene.width)))
    radius = float(np.clip(rng.normal(0.58, 0.14), 0.3, 0.9))
    _plant(pen.at(rng.normal(0, 0.2, 2) * (1.15 - radius), 0, radius), class_name)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        if rng.random() < 0.6:
            _grow(pen, "grass", (rng.uniform(-1.2, 1.2), 1.1), rng.normal(0, 28))
        else:
            turn = rng.uniform(0, 360)
            _grow(pen, "leaf", rotation(turn) @ (0, 1.35), turn + rng.normal(0, 10))
    return _photograph(scene, rng, light)


@cache
def described_plants() -> dict[str, Any]:
    """Colours and parts of the flowers by class, and of their surroundings, parts validated."""
    table: dict[str, Any] = yaml_beside(__file__, "known/flowers.yaml")
    for name in oxford17.CLASS_NAMES:
        table[name]["parts"] = [Part.model_validate(part) for part in table[name]["parts"]]
    surroundings = table["surroundings"]
    surroundings["parts"] = {
        name: Part.model_validate(part) for name, part in surroundings["parts"].items()
    }
    return table


def _pen(picture: Image.Image, rng: np.random.Generator, light: np.ndarray) -> Pen:
    return Pen(ImageDraw.Draw(picture), picture.width, rng, np.zeros(2), np.eye(2), light)


def _grow(pen: Pen, name: str, foot: Any, turn: float) -> None:
    """Draw a part of the surroundings from its foot, turned clockwise from upwards."""
    surroundings = described_plants()["surroundings"]
    part, colours = surroundings["parts"][name], surroundings["colours"]
    colour = palette(pen.rng, {part.colour: colours[part.colour]})[part.colour]
    pen.at(foot, turn).paint(part, {part.colour: pen.rng.uniform(0.6, 1.25) * colour})


def _plant(pen: Pen, class_name: str) -> None:
    """Draw a stem, a few leaves and the flower, each posed at random; a unit is its radius."""
    table, rng = described_plants(), pen.rng
    _grow(pen, "stem", (0, 0), 180 + rng.normal(0, 6))
    for _ in range(rng.integers(3)):
        _grow(pen, "leaf", (rng.normal(0, 0.1), rng.uniform(1.2, 1.9)), rng.uniform(-63, 63))
    tilt = rotation(rng.normal(0, 29)) @ np.diag([1, max(np.cos(rng.normal(0, 0.5)), 0.45)])
    mirror = np.diag([rng.choice([-1, 1]) * rng.uniform(0.85, 1.1), 1])
    poses = {
        "face": tilt @ rotation(rng.uniform(0, 360)),
        "side": rotation(rng.normal(0, 13)) @ mirror,
    }
    colours = palette(rng, table["common"] | table[class_name]["colours"])
    for part in table[class_name]["parts"]:
        replace(pen, frame=pen.frame @ poses[part.view]).paint(part, colours)


def _ground(rng: np.random.Generator, light: np.ndarray) -> Image.Image:
    """Mottled ground with blurred leaves and lights."""
    side = (_GROUND_SIDE, _GROUND_SIDE)
    grounds = described_plants()["surroundings"]["grounds"]
    dark, bright = (
        Image.new("RGB", side, colour) for colour in grounds[rng.integers(len(grounds))]
    )
    mottle = np.zeros(side)
    for n, share in ((3, 0.5), (7, 0.3), (17, 0.2)):
        patches = Image.fromarray(rng.random((n, n), dtype=np.float32))
        mottle += share * np.asarray(patches.resize(side, Image.Resampling.BICUBIC))
    mask = Image.fromarray((np.clip(mottle, 0, 1) * 255).astype(np.uint8))
    ground = Image.composite(bright, dark, mask)
    pen = _pen(ground, rng, light)
    for _ in range(rng.integers(4, 18)):
        _grow(pen, "leaf", rng.uniform(-1.2, 1.2, 2), rng.uniform(0, 360))
    for _ in range(rng.choice([0, 0, 2, 5, 9])):
        _grow(pen, "light", rng.uniform(-1, 1, 2), 0)
    return ground.filter(ImageFilter.GaussianBlur(rng.uniform(0.015, 0.06) * _GROUND_SIDE))


def _photograph(picture: Image.Image, rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Photograph of a picture: light, exposure, colour cast, haze, noise."""
    scene = np.asarray(picture.reduce(SUPERSAMPLING), np.float32) / 255
    size = len(scene)
    coordinates = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    slope = np.float32(rng.uniform(0, 0.25)) * light.astype(np.float32)
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
