import io

import numpy as np
import pytest
from PIL import Image

from flowers17.data import oxford17
from flowers17.data.duplicates import (
    Pair,
    groups,
    identical_pairs,
    known_pairs,
    merged_pairs,
    near_duplicate_pairs,
    oversized_group,
)
from flowers17.data.images import ImageSet
from flowers17.data.rendered import flowers

NAMES = [oxford17.image_name(number) for number in range(1, 1361)]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return flowers(n_classes=17, images_per_class=2, size=96, seed=3)[0]


def recompressed(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream))


def cropped(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image[10:90, 8:88]).resize((96, 96)))


COPIES = {
    "exact": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "recompressed": recompressed,
    "brighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "cropped": cropped,
    "mirrored and cropped": lambda image: cropped(image[:, ::-1]),
}


def test_different_pictures_are_no_pairs(pictures: np.ndarray) -> None:
    assert near_duplicate_pairs(pictures) == []


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found(pictures: np.ndarray, kind: str) -> None:
    copies = np.stack([COPIES[kind](image) for image in pictures[:6]])
    duplicates = near_duplicate_pairs(np.concatenate([pictures, copies]))
    expected = [(row, row + len(pictures)) for row in range(6)]
    pairs = [(pair.first, pair.second) for pair in duplicates]
    if "cropped" in kind:
        assert set(pairs) <= set(expected)
        assert len(pairs) >= 5
    else:
        assert pairs == expected
    if kind == "exact":
        assert [pair.distance for pair in duplicates] == [0] * 6


def test_without_crops_all_but_cropped_copies_are_found(pictures: np.ndarray) -> None:
    copies = np.stack([COPIES[kind](pictures[0]) for kind in ("mirrored", "recompressed")])
    crops = np.stack([COPIES[kind](pictures[2]) for kind in COPIES if "cropped" in kind])
    duplicates = near_duplicate_pairs(np.concatenate([pictures, copies, crops]), in_crops=False)
    n = len(pictures)
    pairs = {(pair.first, pair.second) for pair in duplicates}
    assert {(0, n), (0, n + 1)} <= pairs
    assert not {2} & {pair.first for pair in duplicates}


def test_many_blank_images_give_one_pair_each() -> None:
    blank = np.full((50, 32, 32, 3), 7, np.uint8)
    assert near_duplicate_pairs(blank) == [Pair(0, row, 0) for row in range(1, 50)]


def test_flat_images_of_different_colours_are_no_pairs() -> None:
    flat = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 32 * 32 * 3).reshape(-1, 32, 32, 3)
    assert near_duplicate_pairs(flat) == []


def test_no_images_have_no_pairs() -> None:
    assert near_duplicate_pairs(np.empty((0, 32, 32, 3), np.uint8)) == []


def test_identical_pixels_alone_are_identical(pictures: np.ndarray) -> None:
    copies = np.stack([COPIES[kind](pictures[0]) for kind in ("recompressed", "brighter")])
    images = np.concatenate([pictures[:3], copies, pictures[2:3], pictures[:1], pictures[2:3]])
    assert identical_pairs(images) == [Pair(0, 6, 0), Pair(2, 5, 0), Pair(2, 7, 0)]


@pytest.mark.parametrize(
    ("sizes", "oversized"),
    [([3, *[1] * 27], None), ([3, *[1] * 26], 3), ([1, 2, 4, 1], 4), ([2, 2], None), ([], None)],
)
def test_group_of_more_than_a_tenth_is_oversized_unless_a_pair(
    sizes: list[int], oversized: int | None
) -> None:
    assert oversized_group(np.repeat(np.arange(len(sizes)), sizes)) == oversized


def test_known_pairs_are_rows_whatever_their_order() -> None:
    assert known_pairs(NAMES)[0] == Pair(1, 41, None)
    assert len(known_pairs(NAMES)) == 70
    backwards = known_pairs(NAMES[::-1])
    assert Pair(1359 - 41, 1359 - 1) in backwards
    assert all(pair.first < pair.second for pair in backwards)


def test_known_pairs_win_over_detected_ones() -> None:
    merged = merged_pairs([Pair(3, 4)], [Pair(3, 4, 5), Pair(0, 9, 2)])
    assert merged == [Pair(0, 9, 2), Pair(3, 4, None)]


def test_groups_are_connected_components_in_order() -> None:
    linked = groups([Pair(4, 5), Pair(1, 4), Pair(0, 2)], 7)
    assert linked.dtype == np.int64
    assert linked.tolist() == [0, 1, 0, 2, 1, 1, 3]
    assert groups([], 3).tolist() == [0, 1, 2]


def test_known_groups_of_the_official_images() -> None:
    numbers = groups(known_pairs(NAMES), 1360)
    sizes = np.bincount(numbers)
    assert sizes.sum() == 1360
    assert sorted(set(sizes.tolist())) == [1, 2]
    assert (sizes == 2).sum() == 70


@pytest.mark.real
@pytest.mark.slow
def test_known_pairs_of_the_real_images_are_found(real_images: ImageSet) -> None:
    duplicates = near_duplicate_pairs(real_images.images)
    rows = {(pair.first, pair.second) for pair in duplicates}
    known = {(pair.first, pair.second) for pair in known_pairs(NAMES)}
    unlisted = rows - known
    assert known <= rows
    # Each of the others was looked at and shows one scene, within one class.
    assert 15 <= len(unlisted) <= 25
    assert all(first // 80 == second // 80 for first, second in unlisted)
