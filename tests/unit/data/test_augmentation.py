"""Augmentation draws within its ranges, and depends on nothing but the image and its seed."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from flowers17.config import AugmentationName
from flowers17.data.augmentation import (
    RANGES,
    Ranges,
    Warp,
    affine_matrix,
    augmented,
    augmented_batch,
    colour_matrix,
    image_seed,
    warp_parameters,
)
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.seeds import derived_seed
from tests.support.processes import output_of
from tests.unit.data.test_warping import warped

NAMES: tuple[AugmentationName, ...] = get_args(AugmentationName)
STILL = Warp(
    zoom_x=1.0,
    zoom_y=1.0,
    flip_x=False,
    flip_y=False,
    shift_x=0.0,
    shift_y=0.0,
    rotation=0.0,
    shear=0.0,
    brightness=1.0,
    contrast=1.0,
    saturation=1.0,
)
# SHA-256 of the bytes, first 16 digits: whoever changes them changes every training's result.
DIGESTS = {
    "none": "3aa0e8b92c630a49",
    "zoom": "5824bd411818f877",
    "flips": "c6034a13d5608ce3",
    "wide": "a0a1887fc9ab679f",
    "strong": "a6b3c700e90dd01d",
}


def _images(n: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, height, width, 3), np.uint8)


def _smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) * np.cos(y / 11 - k) for k in range(3)]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def _digests() -> dict[str, str]:
    image = _images(1, 48, 40)[0]
    views = {name: augmented(image, name, 5) for name in NAMES}
    return {name: hashlib.sha256(view.tobytes()).hexdigest()[:16] for name, view in views.items()}


def test_every_augmentation_has_its_ranges() -> None:
    assert tuple(RANGES) == NAMES


def test_none_changes_nothing_and_gives_an_array_of_its_own() -> None:
    image = _images(1, 9, 7)[0]
    view = augmented(image, "none", 1)
    assert np.array_equal(view, image)
    assert not np.shares_memory(view, image)


def test_flips_give_the_image_and_its_three_mirror_images_equally_often() -> None:
    image = _images(1, 5, 6)[0]
    flipped = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    view_indices = [
        next(
            k
            for k, mirrored in enumerate(flipped)
            if np.array_equal(augmented(image, "flips", s), mirrored)
        )
        for s in range(400)
    ]
    counts = np.bincount(view_indices, minlength=4)
    assert counts.sum() == 400
    assert (np.abs(counts - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)).all()


def test_an_image_is_left_as_it_is() -> None:
    images = _images(3, 16, 16)
    before = images.copy()
    images.setflags(write=False)
    for name in NAMES:
        augmented(images[0], name, 2)
        augmented_batch(images, np.arange(3), name, root=1, epoch=2)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_bytes_and_another_seed_others(name: AugmentationName) -> None:
    image = _smooth(24, 24)
    views = [augmented(image, name, seed).tobytes() for seed in range(30)]
    for seed in reversed(range(30)):
        assert augmented(image, name, seed).tobytes() == views[seed]
    assert len(set(views)) == {"none": 1, "flips": 4}.get(name, 30)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_depends_on_neither_order_nor_neighbours(name: AugmentationName) -> None:
    images = _images(9, 17, 13)
    rows = np.array([4, 0, 8, 4, 2])
    batch = augmented_batch(images, rows, name, root=11, epoch=6)
    backwards = augmented_batch(images, rows[::-1].astype(np.uint8), name, root=11, epoch=6)
    assert np.array_equal(backwards[::-1], batch)
    for row, view in zip(rows, batch, strict=True):
        alone = augmented(images[row], name, image_seed(11, 6, int(row)))
        assert np.array_equal(alone, view)


def test_an_empty_batch_is_empty() -> None:
    batch = augmented_batch(_images(2, 8, 9), np.arange(0), "wide", root=1, epoch=0)
    assert batch.shape == (0, 8, 9, 3)
    assert batch.dtype == np.uint8


def test_images_seeds_are_those_of_their_role() -> None:
    assert image_seed(17, 3, 42) == derived_seed(17, "epoch", 3, "augment", 42)
    assert image_seed(17, 3, np.int64(42)) == image_seed(17, 3, 42)  # type: ignore[arg-type]
    seeds = {image_seed(r, e, i) for r in range(3) for e in range(10) for i in range(50)}
    assert len(seeds) == 1500


def test_the_bytes_are_pinned_once_for_all() -> None:
    assert _digests() == DIGESTS


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import json; from tests.unit.data.test_augmentation import _digests; "
        "print(json.dumps(_digests()))"
    )
    assert json.loads(output_of(code, env={"PYTHONHASHSEED": "7"})) == _digests()


@pytest.mark.parametrize("name", NAMES)
def test_draws_fill_their_ranges_and_nothing_more(name: AugmentationName) -> None:
    n = 4000
    drawn = [asdict(warp_parameters(name, seed)) for seed in range(n)]
    values = {key: np.array([warp[key] for warp in drawn], float) for key in drawn[0]}
    for key, (low, high) in _bounds(RANGES[name]).items():
        assert values[key].min() >= low - 1e-12, key
        assert values[key].max() <= high + 1e-12, key
        if not key.startswith("zoom"):
            spread = (high - low) / np.sqrt(12 * n)
            assert abs(values[key].mean() - (low + high) / 2) <= 5 * spread, key
        near = (high - low) / 20  # area and aspect must both be near their ends at once
        assert values[key].min() <= low + near, key
        assert values[key].max() >= high - near, key
    for key in ("flip_x", "flip_y"):
        share = 0.5 if getattr(RANGES[name], key) else 0.0
        assert abs(values[key].mean() - share) < 5 * np.sqrt(share * share / n) + 1e-12


def _bounds(ranges: Ranges) -> dict[str, tuple[float, float]]:
    sides = (
        ranges.zoom[0] * (ranges.area[0] / ranges.aspect) ** 0.5,
        ranges.zoom[1] * (ranges.area[1] * ranges.aspect) ** 0.5,
    )
    limits = {key: getattr(ranges, key) for key in ("shift_x", "shift_y", "rotation", "shear")}
    colours = dict.fromkeys(
        ("brightness", "contrast", "saturation"), (1 - ranges.colour, 1 + ranges.colour)
    )
    return {"zoom_x": sides, "zoom_y": sides, **colours} | {
        key: (-limit, limit) for key, limit in limits.items()
    }


def test_draws_of_different_parameters_are_independent() -> None:
    drawn = [asdict(warp_parameters("wide", seed)) for seed in range(4000)]
    varying = ("zoom_x", "zoom_y", "flip_x", "flip_y", "shift_x", "rotation", "shear")
    values = np.array([[warp[key] for key in varying] for warp in drawn], float)
    correlations = np.corrcoef(values, rowvar=False) - np.eye(len(varying))
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def test_zoom_shows_that_part_of_the_image_about_its_centre() -> None:
    matrix = affine_matrix(replace(STILL, zoom_x=0.5, zoom_y=1.5), 10, 20)
    np.testing.assert_allclose(matrix, [[0.5, 0, 5], [0, 1.5, -2.5]])


def test_shift_counts_in_parts_of_width_and_height() -> None:
    matrix = affine_matrix(replace(STILL, shift_x=0.25, shift_y=-0.5), 10, 20)
    np.testing.assert_allclose(matrix, [[1, 0, 5], [0, 1, -5]])
    image = _images(1, 10, 20)[0]
    assert np.array_equal(warped(image, matrix)[5:, :15], image[:5, 5:])


def test_a_flip_is_of_the_finished_view() -> None:
    image = _images(1, 15, 18)[0]
    turned = replace(STILL, rotation=30.0, zoom_x=0.75, shift_x=0.1, shear=5.0)
    plain = warped(image, affine_matrix(turned, 15, 18)).astype(int)
    for axis, flip in ((1, "flip_x"), (0, "flip_y")):
        matrix = affine_matrix(replace(turned, **{flip: True}), 15, 18)
        flipped = np.flip(warped(image, matrix), axis).astype(int)
        # Positions are rounded from the other side, by at most 1/32 of a pixel along each axis.
        assert np.abs(flipped - plain).max() <= 255 / 16 + 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize("seed", range(12))
def test_the_warp_is_that_of_keras_image_data_generator(seed: int) -> None:
    from keras.src.legacy.preprocessing.image import apply_affine_transform

    image = _smooth(64, 64)
    warp = warp_parameters("wide", seed)
    expected = apply_affine_transform(
        image.astype(np.float64),
        theta=warp.rotation,
        tx=warp.shift_x * 64,
        ty=warp.shift_y * 64,
        shear=warp.shear,
        zx=warp.zoom_x,
        zy=warp.zoom_y,
        row_axis=0,
        col_axis=1,
        channel_axis=2,
    )
    expected = expected[:: -1 if warp.flip_y else 1, :: -1 if warp.flip_x else 1]
    view = augmented(image, "wide", seed)
    # Half a level of rounding, and a 64th of a pixel along each axis at 14 levels a pixel.
    assert np.abs(view - expected).max() < 1


def test_colour_is_the_matrix_rounded_to_the_nearest() -> None:
    image = _images(1, 30, 30)[0]
    for seed in range(10):
        warp = warp_parameters("strong", seed)
        matrix = colour_matrix(warp)
        moved = warped(image, affine_matrix(warp, 30, 30))
        exact = np.clip(moved @ matrix[:, :3].T + matrix[:, 3], 0, 255)
        assert np.array_equal(augmented(image, "strong", seed), np.floor(exact + 0.5))


def test_brightness_contrast_and_saturation_do_what_they_are_called() -> None:
    still = colour_matrix(STILL)
    assert np.array_equal(still, np.eye(3, 4))
    bright = colour_matrix(replace(STILL, brightness=1.25))
    assert np.array_equal(bright, 1.25 * np.eye(3, 4))
    flat = colour_matrix(replace(STILL, contrast=0.5))
    np.testing.assert_allclose(flat @ (100, 200, 30, 1), (113.75, 163.75, 78.75))
    grey = colour_matrix(replace(STILL, saturation=0.0)) @ (100, 200, 30, 1)
    by_pillow = np.asarray(Image.new("RGB", (1, 1), (100, 200, 30)).convert("L"))
    np.testing.assert_allclose(grey, np.full(3, by_pillow.item()), rtol=0, atol=1)


@pytest.mark.parametrize("name", ["Wide", "", "mixup", None, 3, ["wide"]])
def test_an_unknown_name_is_refused_with_the_known_ones(name: Any) -> None:
    images = _images(2, 8, 8)
    with pytest.raises(InvalidSettings, match="expected one of none, zoom, flips, wide, strong"):
        augmented(images[0], name, 1)
    with pytest.raises(InvalidSettings, match="expected one of none, zoom, flips, wide, strong"):
        augmented_batch(images, np.arange(2), name, root=1, epoch=1)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "7"])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(InvalidInput, match="seed: expected a whole number of at least 0"):
        augmented(_images(1, 8, 8)[0], "zoom", seed)
    for arguments in ({"root": seed}, {"epoch": seed}, {"row": seed}):
        with pytest.raises(InvalidInput, match=f"{next(iter(arguments))}: expected a whole number"):
            image_seed(**({"root": 1, "epoch": 1, "row": 1} | arguments))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 1), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 0, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_set_of_images_is_refused(images: Any) -> None:
    with pytest.raises(InvalidInput, match=r"expected pixels as uint8 \(n, h, w, 3\), got"):
        augmented_batch(images, np.arange(1), "wide", root=1, epoch=1)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (np.array([0, 3]), "expected 0..2, got 3"),
        (np.array([-1]), "expected 0..2, got -1"),
        (np.array([1.0]), "expected integers"),
        (np.array([True, False, True]), "expected integers"),
        (np.zeros((1, 1), int), "expected integers"),
        ([0, 1], "expected integers"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"rows: {problem}"):
        augmented_batch(_images(3, 8, 8), rows, "flips", root=1, epoch=1)
