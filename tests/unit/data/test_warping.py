"""Warping is exact where it can be, and elsewhere what SciPy's bilinear interpolation gives."""

import numpy as np
import pytest
from scipy import ndimage

from flowers17.data.warping import Sampler

SIZES = [(16, 16), (7, 12), (1, 9), (5, 1), (1, 1), (130, 128)]


def warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image sampled by a sampler of its own."""
    out = np.empty_like(image, order="C")
    Sampler(*image.shape[:2]).write(image, np.asarray(matrix, np.float64), out)
    return out


def _noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _by_scipy(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """SciPy's result, rounded; it counts from the first pixel's centre, y first."""
    linear = matrix[::-1, 1::-1]
    offset = matrix[::-1, 2] + linear @ (0.5, 0.5) - 0.5
    channels = [
        ndimage.affine_transform(channel, linear, offset, order=1, mode="nearest")
        for channel in np.moveaxis(image.astype(np.float64), -1, 0)
    ]
    return np.floor(np.stack(channels, axis=-1) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_identity_changes_nothing(height: int, width: int) -> None:
    image = _noise(height, width)
    assert np.array_equal(warped(image, np.eye(2, 3)), image)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_flips_are_exact(height: int, width: int) -> None:
    image = _noise(height, width)
    across = np.array([[-1, 0, width], [0, 1, 0]])
    down = np.array([[1, 0, 0], [0, -1, height]])
    assert np.array_equal(warped(image, across), image[:, ::-1])
    assert np.array_equal(warped(image, down), image[::-1])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(turns: int) -> None:
    image = _noise(20, 20)
    angle = np.radians(90 * turns)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, 10 - linear @ (10, 10)])
    assert np.array_equal(warped(image, matrix), np.rot90(image, turns))


def test_whole_pixel_shifts_are_exact_and_repeat_the_edge() -> None:
    image = _noise(9, 8)
    moved = warped(image, np.array([[1, 0, 3], [0, 1, -2]]))
    padded = np.pad(image, ((2, 0), (0, 3), (0, 0)), mode="edge")
    assert np.array_equal(moved, padded[:9, 3:])


def test_far_outside_lies_the_nearest_edge() -> None:
    image = _noise(6, 6)
    right = warped(image, np.array([[1, 0, 1e6], [0, 1, 0]]))
    assert np.array_equal(right, np.broadcast_to(image[:, -1:], image.shape))
    corner = warped(image, np.array([[1, 0, -1e6], [0, 1, -1e6]]))
    assert np.array_equal(corner, np.broadcast_to(image[0, 0], image.shape))


def test_twofold_enlargement_of_a_ramp_is_the_hand_result() -> None:
    # Columns 0, 8, 16, …: positions 1.75, 2.25, 2.75, … between them give 14, 18, 22, …
    ramp = np.broadcast_to((8 * np.arange(8, dtype=np.uint8))[None, :, None], (8, 8, 3))
    enlarged = warped(ramp, np.array([[0.5, 0, 2], [0, 0.5, 2]]))
    assert (enlarged == (14 + 4 * np.arange(8))[None, :, None]).all()


def test_half_a_level_is_rounded_up() -> None:
    image = np.array([[[0] * 3, [255] * 3]], np.uint8)
    between = warped(image, np.array([[1, 0, 0.5], [0, 1, 0]]))
    assert between[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize("seed", range(20))
def test_positions_of_whole_64ths_give_scipys_result_exactly(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 150, 2)
    image = _noise(int(height), int(width), seed)
    # Times the centres' halves, multiples of 1/32 are whole 64ths.
    linear = random.integers(-48, 49, (2, 2)) / 32
    offset = random.integers(-64 * 30, 64 * 30, (2, 1)) / 64
    matrix = np.hstack([linear, offset])
    assert np.array_equal(warped(image, matrix), _by_scipy(image, matrix))


@pytest.mark.parametrize("seed", range(5))
def test_any_other_position_is_at_most_a_64th_off(seed: int) -> None:
    random = np.random.default_rng(seed)
    image = np.empty((40, 50, 3), np.uint8)
    slope_x, slope_y = 3, 2  # levels a pixel
    image[...] = (slope_y * np.arange(40)[:, None] + slope_x * np.arange(50))[..., None]
    matrix = np.hstack([random.uniform(-1.5, 1.5, (2, 2)), random.uniform(0, 40, (2, 1))])
    apart = warped(image, matrix).astype(int) - _by_scipy(image, matrix)
    # A tenth of a level in position makes a level of difference only where rounding tips over.
    assert np.abs(apart).max() <= 1
    assert np.mean(apart != 0) < (slope_x + slope_y) / 64


def test_images_that_lie_otherwise_in_memory_are_the_same_images() -> None:
    matrix = np.array([[0.9, 0.2, 1], [-0.2, 0.9, 2]])
    image = _noise(12, 12)
    expected = warped(image, matrix)
    assert np.array_equal(warped(np.asfortranarray(image), matrix), expected)
    assert np.array_equal(warped(image[:, ::-1].copy()[:, ::-1], matrix), expected)


def test_a_sampler_used_again_remembers_nothing() -> None:
    sampler, out = Sampler(33, 21), np.empty((33, 21, 3), np.uint8)
    matrix = np.array([[1.3, 0.1, -3], [0.2, 0.8, 2]])
    for seed in range(3):
        image = _noise(33, 21, seed)
        sampler.write(image, matrix, out)
        assert np.array_equal(out, warped(image, matrix))
