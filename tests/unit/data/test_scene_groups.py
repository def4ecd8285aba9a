import numpy as np
import pytest

from flowers17.data import oxford17
from flowers17.data.scene_groups import (
    Pair,
    groups,
    identical_pairs,
    is_oversized,
    known_pairs,
    merged_pairs,
    pairs_of_equals,
)

NAMES = [oxford17.image_name(number) for number in range(1, 1361)]


def test_identical_pixels_alone_are_identical() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    nearly = np.where(pictures[:1] < 255, pictures[:1] + 1, 255).astype(np.uint8)
    images = np.concatenate([pictures, nearly, nearly, pictures[2:], pictures[:1], pictures[2:]])
    expected = [Pair(0, 6, 0), Pair(2, 5, 0), Pair(2, 7, 0), Pair(3, 4, 0)]
    assert identical_pairs(images) == expected


def test_equals_on_both_sides_of_a_test_are_paired_with_the_first_of_either() -> None:
    is_test = np.array([False, False, True, True, False, True])
    pairs = pairs_of_equals(["a", "", "a", "a", "a", ""], is_test)
    assert [pair.rows for pair in pairs] == [[0, 2], [0, 3], [0, 4], [2, 3], [2, 4]]


@pytest.mark.parametrize(
    ("n_linked", "n_images", "oversized"),
    [(8, 20, False), (9, 20, True), (30, 300, False), (31, 300, True)],
)
def test_more_than_eight_images_and_a_tenth_of_all_are_no_scene(
    n_linked: int, n_images: int, oversized: bool
) -> None:
    assert is_oversized(n_linked, n_images) == oversized


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
