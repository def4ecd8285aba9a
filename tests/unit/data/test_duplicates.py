import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from flowers17.data import duplicates
from flowers17.data.duplicates import NearDuplicates, near_duplicates
from flowers17.data.images import ImageSet
from flowers17.data.oxford17 import image_name
from flowers17.data.rendered import flowers
from flowers17.data.scene_groups import identical_pairs, known_pairs

NAMES = [image_name(number) for number in range(1, 1361)]


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
    assert near_duplicates(pictures).pairs == []


def rows_of(resemblance: NearDuplicates) -> list[list[int]]:
    return [pair.rows for pair in resemblance.pairs]


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found(pictures: np.ndarray, kind: str) -> None:
    copies = np.stack([COPIES[kind](image) for image in pictures[:6]])
    resemblance = near_duplicates(np.concatenate([pictures, copies]))
    expected = [[row, row + len(pictures)] for row in range(6)]
    assert not resemblance.look_alike
    assert all(pair.detail is not None and pair.detail >= 0.7 for pair in resemblance.pairs)
    if "cropped" in kind:
        assert all(rows in expected for rows in rows_of(resemblance))
        assert len(resemblance.pairs) >= 5
    else:
        assert rows_of(resemblance) == expected
    if kind == "exact":
        assert [pair.distance for pair in resemblance.pairs] == [0] * 6


def test_of_exact_copies_the_first_is_compared(pictures: np.ndarray) -> None:
    images = np.concatenate([pictures, pictures[:1], recompressed(pictures[0])[None]])
    n = len(pictures)
    copies = identical_pairs(images)
    assert rows_of(near_duplicates(images, copies=copies)) == [[0, n + 1]]


def test_without_crops_all_but_cropped_copies_are_found(pictures: np.ndarray) -> None:
    copies = np.stack([COPIES[kind](pictures[0]) for kind in ("mirrored", "recompressed")])
    crops = np.stack([COPIES[kind](pictures[2]) for kind in COPIES if "cropped" in kind])
    images = np.concatenate([pictures, copies, crops])
    pairs = rows_of(near_duplicates(images, in_crops=False))
    n = len(pictures)
    assert [0, n] in pairs
    assert [0, n + 1] in pairs
    assert all(first != 2 for first, _ in pairs)


def test_flat_images_are_no_pairs() -> None:
    flat = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 32 * 32 * 3).reshape(-1, 32, 32, 3)
    assert near_duplicates(np.concatenate([flat, flat])).pairs == []


def test_no_images_have_no_pairs() -> None:
    assert near_duplicates(np.empty((0, 32, 32, 3), np.uint8)).pairs == []


def alike(n_images: int) -> np.ndarray:
    """Return images of one coarse form, each with detail of its own."""
    rng = np.random.default_rng(5)
    coarse = gaussian_filter(rng.normal(size=(96, 96)), 14)
    coarse = 128 + 80 * coarse / np.abs(coarse).max()
    detail = np.stack([gaussian_filter(rng.normal(size=(96, 96)), 1.2) for _ in range(n_images)])
    grey = np.clip(coarse + 5 * detail / detail.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def test_images_that_look_alike_are_told_and_no_pairs_though_all_are_proposed() -> None:
    images = alike(24)
    resemblance = near_duplicates(np.concatenate([images, recompressed(images[3])[None]]))
    assert rows_of(resemblance) == [[3, 24]]
    assert resemblance.look_alike
    assert resemblance.n_linked > 12


def test_search_ends_where_images_look_alike_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PROPOSALS", 1)
    resemblance = near_duplicates(alike(24))
    assert resemblance.look_alike
    assert resemblance.n_proposed == 24


def test_a_scene_of_more_than_a_tenth_of_all_images_looks_alike(pictures: np.ndarray) -> None:
    views = np.stack([np.clip(pictures[0] * (1 - k / 40), 0, 255) for k in range(10)])
    resemblance = near_duplicates(np.concatenate([pictures, views.astype(np.uint8)]))
    assert resemblance.look_alike


def test_test_part_changes_no_other_pair_and_its_twins_are_found(pictures: np.ndarray) -> None:
    own = np.concatenate([pictures, recompressed(pictures[1])[None]])
    n = len(own)
    tests = np.concatenate([recompressed(pictures[4])[None], alike(24)])
    images = np.concatenate([own, tests])
    alone = near_duplicates(own)
    beside = near_duplicates(images, is_test=np.arange(len(images)) >= n)
    assert [pair for pair in beside.pairs if pair.second < n] == alone.pairs != []
    assert [pair.rows for pair in beside.pairs if pair.first < n <= pair.second] == [[4, n]]
    assert not beside.look_alike
    assert near_duplicates(images).look_alike


@pytest.mark.real
@pytest.mark.slow
def test_known_pairs_of_the_real_images_are_found(real_images: ImageSet) -> None:
    resemblance = near_duplicates(real_images.images)
    assert not resemblance.look_alike
    rows = {(pair.first, pair.second) for pair in resemblance.pairs}
    known = {(pair.first, pair.second) for pair in known_pairs(NAMES)}
    # Each of the 20 others was looked at and shows one scene, within one class.
    assert known <= rows
    assert len(rows) == 90
    assert all(first // 80 == second // 80 for first, second in rows)
