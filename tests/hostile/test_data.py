"""Hostile and broken data: each a clear error that names the culprit, and nothing written."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.data import oxford17
from flowers17.data.images import image_set
from flowers17.data.source import source_from
from flowers17.errors import InvalidInput
from tests.support.image_files import (
    class_folders,
    encoded,
    listing,
    member,
    numbered,
    official_archive,
    saved,
)


@pytest.fixture(autouse=True)
def nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder; it stays empty, and `read` checks the data beside it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield
    assert not list(work.iterdir())


def refused(path: Path, message: str) -> str:
    """Check that a data set is refused with a message, and left as it was; return all of it."""
    before = listing(path.parent)
    with pytest.raises(InvalidInput, match=message) as problem:
        image_set(source_from(str(path)), size=16)
    assert listing(path.parent) == before
    return str(problem.value)


HOSTILE_MEMBERS = {
    "absolute name": (member("/jpg/image_0001.jpg", b"x"), r"'/jpg/image_0001\.jpg'.*another name"),
    "parent folder": (member("jpg/../../evil.jpg", b"x"), r"evil\.jpg'.*another name"),
    "symbolic link": (
        member("jpg/image_0001.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "image_0001.*a symbolic link",
    ),
    "hard link": (
        member("jpg/image_0001.jpg", type=tarfile.LNKTYPE, linkname="jpg/image_0002.jpg"),
        "image_0001.*a hard link",
    ),
    "character device": (member("jpg/zero", type=tarfile.CHRTYPE), "jpg/zero.*character device"),
    "block device": (member("jpg/disk", type=tarfile.BLKTYPE), "jpg/disk.*block device"),
    "named pipe": (member("jpg/pipe", type=tarfile.FIFOTYPE), "jpg/pipe.*named pipe"),
    "other folder": (member("jpg/more", type=tarfile.DIRTYPE), "jpg/more.*a folder"),
    "1361st image": (member("jpg/image_1361.jpg", b"x"), r"image_1361\.jpg.*another name"),
    "image 0": (member("jpg/image_0000.jpg", b"x"), r"image_0000\.jpg.*another name"),
    "second copy": (member("jpg/image_0005.jpg", b"x"), r"image_0005\.jpg.*a second one"),
    "unexpected file": (member("jpg/notes.txt", b"x"), r"notes\.txt.*another name"),
    "control characters": (member("jpg/\x1b[2Jx.jpg", b"x"), "another name"),
}


@pytest.mark.parametrize("case", HOSTILE_MEMBERS)
@pytest.mark.parametrize("position", ["first", "last"])
def test_hostile_member_is_refused(tmp_path: Path, case: str, position: str) -> None:
    hostile, message = HOSTILE_MEMBERS[case]
    path = tmp_path / "flowers.tar"
    if position == "last":
        official_archive(path, extra=[hostile])
    else:
        official_archive(path, {5: encoded()} if case == "second copy" else {}, extra=[hostile])
    text = refused(path, f"(?s)archive .*flowers.tar, member .*{message}")
    assert text.isprintable()


def test_missing_image_is_named(tmp_path: Path) -> None:
    images = numbered()
    del images[77]
    path = official_archive(tmp_path / "flowers.tgz", images)
    refused(path, r"expected 1360 images, 1 are missing, jpg/image_0077\.jpg first")


def test_renamed_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = numbered()
    known = {
        oxford17.image_name(number): hashlib.sha256(data).hexdigest()
        for number, data in images.items()
    }
    monkeypatch.setattr(oxford17, "known_image_digests", lambda: known)
    images[3], images[900] = images[900], images[3]
    path = official_archive(tmp_path / "flowers.tgz", images)
    refused(path, r"jpg/image_0003\.jpg.*official jpg/image_0900\.jpg.*2 renamed")


def test_image_renamed_out_of_the_layout_is_named(tmp_path: Path) -> None:
    path = official_archive(
        tmp_path / "flowers.tgz",
        name=lambda number: f"jpg/{'rose' if number == 9 else f'image_{number:04d}'}.jpg",
    )
    refused(path, r"jpg/rose\.jpg.*another name")


def test_truncated_jpeg_in_an_archive_is_named(tmp_path: Path) -> None:
    images = {**numbered(), 12: encoded((64, 64))[:2000]}
    path = official_archive(tmp_path / "flowers.tgz", images)
    refused(path, r"(?s)1 of 1360 images cannot be used:.*image_0012\.jpg.*truncated or damaged")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "own", {"rose": 3, "aster": 3})


def hundred_megapixels() -> bytes:
    return saved(Image.new("1", (10_000, 10_000)), "PNG")


HOSTILE_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated JPEG": (lambda: encoded((64, 64))[:2000], "truncated or damaged"),
    "JPEG cut in its header": (lambda: encoded()[:100], "expected an image.*damaged"),
    "100 megapixels": (hundred_megapixels, "at most 50,000,000 pixels, got 10000 × 10000"),
    "text": (lambda: b"not an image", "expected an image.*another kind"),
    "empty file": (lambda: b"", "expected an image.*empty file"),
    "script behind a signature": (lambda: b"\xff\xd8\xff<script>", "expected an image"),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "another kind"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "another kind"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", HOSTILE_FILES)
def test_hostile_file_is_named(own: Path, case: str) -> None:
    content, message = HOSTILE_FILES[case]
    (own / "rose" / "bad.jpg").write_bytes(content())
    refused(own, rf"(?s)rose/bad\.jpg: .*{message}")


ODD_IMAGES: dict[str, Callable[[], bytes]] = {
    "PNG named .jpg": lambda: encoded((20, 20), kind="PNG"),
    "CMYK": lambda: encoded((20, 20), mode="CMYK"),
    "16-bit": lambda: saved(
        Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "PNG"
    ),
    "palette with transparency": lambda: saved(Image.new("P", (20, 20), 1), "PNG", transparency=0),
    "one pixel": lambda: encoded((1, 1), kind="PNG"),
}


@pytest.mark.parametrize("case", ODD_IMAGES)
def test_odd_but_honest_image_is_read(own: Path, case: str) -> None:
    (own / "rose" / "odd.jpg").write_bytes(ODD_IMAGES[case]())
    images = image_set(source_from(str(own)), size=16)
    row = images.names.index("rose/odd.jpg")
    assert images.images[row].shape == (16, 16, 3)
    if case == "16-bit":
        assert 200 < images.images[row].max() <= 255
        assert len(np.unique(images.images[row])) > 50


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    refused(tmp_path / "own", "expected at least 2 class folders, got none")


def test_one_class_is_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"rose": 3})
    refused(root, "expected at least 2 class folders, got one, 'rose'")


@pytest.mark.parametrize(("n_images", "actual"), [(0, "no image"), (1, "one image")])
def test_class_without_enough_images_is_named(tmp_path: Path, n_images: int, actual: str) -> None:
    root = class_folders(tmp_path / "own", {"rose": 3, "aster": n_images})
    refused(root, f"own/aster: expected at least 2 images.*got {actual}")


def test_images_outside_class_folders_are_refused(own: Path) -> None:
    (own / "loose.png").write_bytes(encoded(kind="PNG"))
    refused(own, r"expected only class folders, got the file 'loose\.png'")


def test_nested_folder_is_named(own: Path) -> None:
    (own / "rose" / "more").mkdir()
    refused(own, "rose/more: expected an image, got a folder")


def test_link_out_of_the_folder_is_named(own: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (own / "tulip").symlink_to(tmp_path / "outside")
    refused(own, "own/tulip: .*symbolic link that leaves")


def test_dangling_and_circular_links_are_named(own: Path) -> None:
    link = own / "rose" / "link.png"
    link.symlink_to(own / "rose" / "gone.png")
    refused(own, r"rose/link\.png: cannot be read")
    link.unlink()
    link.symlink_to(link)
    refused(own, r"rose/link\.png")


def test_named_pipe_is_refused_and_not_waited_for(own: Path) -> None:
    os.mkfifo(own / "rose" / "pipe.jpg")
    refused(own, r"rose/pipe\.jpg: expected an image, got a special file")
