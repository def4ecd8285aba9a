import hashlib
import io
import json
import logging
import pickle
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.data import oxford17
from flowers17.data.decoding import square
from flowers17.data.images import ImageSet, image_set
from flowers17.data.source import Source, source_from
from flowers17.errors import ChecksumMismatch, UnusableImage, UnusableImages
from tests.support.image_files import class_folders, encoded, numbered, official_archive, saved


def test_images_of_a_folder_are_in_order_and_exact(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"rose": 3, "aster": 2})
    images = image_set(source_from(str(root)), size=16)
    assert images.images.shape == (5, 16, 16, 3)
    assert images.images.dtype == np.uint8
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == [0, 0, 1, 1, 1]
    assert images.class_names == ("aster", "rose")
    assert images.original_sizes[0] == (21, 16)
    assert images.verified is None
    for row, name in enumerate(images.names):
        data = (root / name).read_bytes()
        assert images.sha256[row] == hashlib.sha256(data).hexdigest()
        assert np.array_equal(images.images[row], square(Image.open(io.BytesIO(data)), 16))


def test_images_are_written_where_they_shall_be_in_the_order_of_rows(tmp_path: Path) -> None:
    source = source_from(str(class_folders(tmp_path / "own", {"rose": 3, "aster": 2})))
    on_disk = np.lib.format.open_memmap(
        tmp_path / "images.npy", mode="w+", dtype=np.uint8, shape=(5, 16, 16, 3)
    )
    shapes: list[tuple[int, ...]] = []

    def allocate(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        shapes.append(shape)
        return on_disk

    images = image_set(source, size=16, allocate=allocate)
    assert images.images is on_disk
    assert shapes == [(5, 16, 16, 3)]
    on_disk.flush()
    assert np.array_equal(np.load(tmp_path / "images.npy"), image_set(source, size=16).images)


def test_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    source = source_from(str(class_folders(tmp_path / "own", {"a": 9, "b": 8})))
    single, parallel = (image_set(source, size=16, n_threads=n) for n in (1, 5))
    assert np.array_equal(single.images, parallel.images)
    assert single.items() == parallel.items()


def test_items_are_json_and_tell_all_but_the_arrays(tmp_path: Path) -> None:
    images = image_set(source_from(str(class_folders(tmp_path / "own", {"a": 2, "b": 2}))), size=16)
    items = json.loads(json.dumps(images.items()))
    assert set(items) == set(vars(images)) - {"images", "labels", "parts", "groups"}
    assert items["names"] == list(images.names)
    assert str(tmp_path) not in json.dumps(items)


def test_progress_tells_every_image(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    source = source_from(str(class_folders(tmp_path / "own", {"a": 3, "b": 2})))
    image_set(source, size=16, progress=lambda *step: steps.append(step))
    assert steps == [(step, 5) for step in range(1, 6)]


def test_rendered_flowers_know_their_settings() -> None:
    images = image_set(Source("rendered"), size=16, n_classes=3, images_per_class=2, seed=4)
    assert images.class_names == ("daffodil", "snowdrop", "lily of the valley")
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert images.source["seed"] == 4
    assert images.sha256[0] == hashlib.sha256(images.images[0].tobytes()).hexdigest()
    assert len(set(images.names)) == 6


def test_bad_images_are_told_together_by_kind_up_to_ten_each(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 3, "b": 20})
    for k in range(12):
        data = (root / "b" / f"{k:02d}.png").read_bytes()
        (root / "b" / f"{k:02d}.png").write_bytes(data[:80])
    (root / "a" / "page.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(UnusableImages, match="13 of 24 images cannot be used") as problem:
        image_set(source_from(str(root)), size=16)
    lines = str(problem.value).splitlines()
    assert re.match(r"  1 image: expected an image.*an HTML page; fetch", lines[1])
    assert lines[2] == "    a/page.jpg"
    assert re.match(r"  12 images: expected a whole image, got a truncated", lines[3])
    assert [line.split(" (")[0] for line in lines[4:14]] == [
        f"    b/{k:02d}.png" for k in range(10)
    ]
    assert lines[14:] == ["    … and 2 more"]
    page, cut = problem.value.details["unusable"]
    assert (page["count"], page["first"]) == (1, ["a/page.jpg"])
    assert (cut["count"], len(cut["first"])) == (12, 10)


def test_errors_on_images_survive_a_change_of_process(tmp_path: Path) -> None:
    error = UnusableImages.among([("a", UnusableImage("a", "too large"))] * 3, 9)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.details) == (str(error), error.details)


def grey_images(root: Path, highest: int, *, dark: int = 900) -> Path:
    """Write class folders of 16-bit images with levels up to a highest one; return it."""
    for name, top in (("a", dark), ("b", highest)):
        (root / name).mkdir(parents=True)
        for k in range(2):
            levels = np.linspace(0, top, 256, dtype=np.uint16).reshape(16, 16)
            (root / name / f"{k}.png").write_bytes(saved(Image.fromarray(levels), "PNG"))
    return root


@pytest.mark.parametrize(("highest", "depth"), [(1023, 10), (4095, 12), (4096, 16), (65535, 16)])
def test_levels_of_few_bits_are_scaled_for_all_images_alike(
    tmp_path: Path, highest: int, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    images = image_set(source_from(str(grey_images(tmp_path / "own", highest))), size=16)
    white = 2**depth - 1
    for row, top in enumerate((900, 900, highest, highest)):
        levels = np.linspace(0, top, 256, dtype=np.uint16).reshape(16, 16)
        expected = np.rint(levels * 255.0 / white).astype(np.uint8)
        assert np.array_equal(images.images[row], np.repeat(expected[..., None], 3, axis=2))
    assert images.source.get("depth", 16) == depth
    assert (f"grey levels of {depth} bits" in caplog.text) == (depth < 16)


def test_rows_of_an_archive_in_any_order_are_written_once_in_their_place(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"b": 3, "a": 3})
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in sorted(root.rglob("*.png"), reverse=True):
            archive.add(path, path.relative_to(root).as_posix())
    images = image_set(source_from(str(tmp_path / "a.tar")), size=16)
    assert np.array_equal(images.images, image_set(source_from(str(root)), size=16).images)


def test_cut_jpegs_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    (root / "b" / "z.jpg").write_bytes(encoded((64, 64))[:-300])
    source = source_from(str(root))
    with pytest.raises(UnusableImages, match=r"dataset\.truncated=read"):
        image_set(source, size=16)
    images = image_set(source, size=16, reads_cut=True)
    assert images.source["layout"] == "2 classes, 5 images"
    assert "JPEGs whose end is missing, read as far as they go: b/z.jpg" in caplog.text


def test_megapixels_are_bounded_by_the_setting(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    (root / "a" / "big.png").write_bytes(saved(Image.new("1", (8192, 6144)), "PNG"))
    assert image_set(source_from(str(root)), size=16).original_sizes[2] == (8192, 6144)
    with pytest.raises(UnusableImages, match=r"dataset\.max_megapixels.*\n.*8192 × 6144"):
        image_set(source_from(str(root)), size=16, max_pixels=50_000_000)


@pytest.fixture
def official_images(monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
    """Return tiny images that count as the official ones."""
    images = numbered()
    known = {
        oxford17.image_name(number): hashlib.sha256(data).hexdigest()
        for number, data in images.items()
    }
    monkeypatch.setattr(oxford17, "known_image_digests", lambda: known)
    return images


def test_archive_with_the_known_images_is_verified_however_packed(
    tmp_path: Path, official_images: dict[int, bytes]
) -> None:
    path = official_archive(tmp_path / "a.tar", dict(reversed(official_images.items())))
    images = image_set(source_from(str(path)), size=16)
    assert images.verified is True
    assert images.names[:2] == ("jpg/image_0001.jpg", "jpg/image_0002.jpg")
    assert np.array_equal(images.labels, np.repeat(np.arange(17), 80))
    downloaded = replace(source_from("oxford17"), path=path)
    assert image_set(downloaded, size=16).verified is True


def test_altered_archive_is_marked_as_own_data_or_refused_as_official(
    tmp_path: Path, official_images: dict[int, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = official_archive(tmp_path / "a.tgz", {**official_images, 7: numbered([7])[7] + b"!"})
    with caplog.at_level(logging.WARNING):
        assert image_set(source_from(str(path)), size=16).verified is False
    assert "unverified" in caplog.text
    with pytest.raises(ChecksumMismatch, match=r"image_0007\.jpg \(1 differ\)"):
        image_set(replace(source_from("oxford17"), path=path), size=16)


@pytest.mark.real
@pytest.mark.slow
def test_real_archive_is_verified(real_images: ImageSet) -> None:
    assert real_images.verified is True
    assert real_images.images.shape == (1360, 128, 128, 3)
    assert real_images.labels.tolist() == [row // 80 for row in range(1360)]
    assert {min(size) for size in real_images.original_sizes} == {499, 500}
