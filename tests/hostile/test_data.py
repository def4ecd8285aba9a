"""Hostile and broken data: each a clear error that names the culprit, and nothing written."""

import hashlib
import io
import os
import tarfile
import zipfile
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
    "absolute name": (member("/jpg/image_0001.jpg", b"x"), r"/image_0001\.jpg'.*leads out"),
    "parent folder": (member("jpg/../../evil.jpg", b"x"), r"evil\.jpg'.*leads out"),
    "symbolic link": (
        member("jpg/image_0001.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "image_0001.*each name once",
    ),
    "hard link": (
        member("jpg/image_0001.jpg", type=tarfile.LNKTYPE, linkname="jpg/image_0002.jpg"),
        "image_0001.*each name once",
    ),
    "character device": (member("jpg/zero", type=tarfile.CHRTYPE), "others: jpg/zero"),
    "block device": (member("jpg/disk", type=tarfile.BLKTYPE), "others: jpg/disk"),
    "named pipe": (member("jpg/pipe", type=tarfile.FIFOTYPE), "others: jpg/pipe"),
    "1361st image": (member("jpg/image_1361.jpg", b"x"), r"others: jpg/image_1361\.jpg"),
    "image 0": (member("jpg/image_0000.jpg", b"x"), r"others: jpg/image_0000\.jpg"),
    "second copy": (member("jpg/image_0005.jpg", b"x"), r"image_0005\.jpg.*each name once"),
    "unexpected file": (member("jpg/rose.jpg", b"x"), r"others: jpg/rose\.jpg"),
    "control characters": (member("jpg/\x1b[2Jx.jpg", b"x"), "without control characters"),
}


@pytest.mark.parametrize("case", HOSTILE_MEMBERS)
def test_hostile_member_of_the_official_layout_is_refused(tmp_path: Path, case: str) -> None:
    hostile, message = HOSTILE_MEMBERS[case]
    path = official_archive(tmp_path / "flowers.tar", extra=[hostile])
    text = refused(path, f"(?s)flowers.tar.*{message}")
    assert text.isprintable()


OWN_MEMBERS = {
    "absolute name": (member("/a/1.png", b"x"), "member '/a/1.png'.*leads out"),
    "parent folder": (member("a/../../evil.png", b"x"), "evil.png'.*leads out"),
    "symbolic link": (
        member("a/x.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "(?s)a link.*a/x.png",
    ),
    "hard link": (
        member("a/x.png", type=tarfile.LNKTYPE, linkname="a/00.png"),
        "(?s)a link.*a/x.png",
    ),
    "device": (member("a/zero", type=tarfile.CHRTYPE), "(?s)a special file.*a/zero"),
    "second copy": (member("a/00.png", b"x"), "'a/00.png': expected each name once"),
    "control characters": (member("a/\x1b[2Jx.png", b"x"), "without control characters"),
    "name that is no UTF-8": (member("a/\udcff.png", b"x"), "printable UTF-8"),
    "no image": (member("a/x.png", b"hello"), "(?s)got a text.*a/x.png"),
}


@pytest.mark.parametrize("case", OWN_MEMBERS)
def test_hostile_member_of_an_archive_of_class_folders_is_refused(
    tmp_path: Path, case: str
) -> None:
    hostile, message = OWN_MEMBERS[case]
    path = tmp_path / "own.tar"
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    with tarfile.open(path, "w") as archive:
        for image in root.rglob("*.png"):
            archive.add(image, image.relative_to(root).as_posix())
        archive.addfile(hostile[0], io.BytesIO(hostile[1]))
    text = refused(path, message)
    assert text.replace("\n", "").isprintable()


def zipped(root: Path, path: Path) -> zipfile.ZipFile:
    """A zip archive of a folder, which more can be written to."""
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
    for image in sorted(root.rglob("*.png")):
        archive.write(image, image.relative_to(root).as_posix())
    return archive


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


ZIP_MEMBERS: dict[str, tuple[str | zipfile.ZipInfo, int, str]] = {
    "absolute name": ("/a/x.png", zipfile.ZIP_STORED, "'/a/x.png'.*leads out"),
    "parent folder": ("../x.png", zipfile.ZIP_STORED, "'../x.png'.*leads out"),
    "parent folder of Windows": ("a\\..\\..\\x.png", zipfile.ZIP_STORED, "leads out"),
    "second copy": ("a/00.png", zipfile.ZIP_STORED, "'a/00.png': expected each name once"),
    "symbolic link": (link("a/x.png"), zipfile.ZIP_STORED, "(?s)a link.*a/x.png"),
    "other compression": ("a/x.png", zipfile.ZIP_LZMA, "(?s)by deflate; pack.*a/x.png"),
    "control characters": ("a/\x1b.png", zipfile.ZIP_STORED, "without control characters"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ZIP_MEMBERS)
def test_hostile_member_of_a_zip_archive_is_refused(tmp_path: Path, case: str) -> None:
    name, method, message = ZIP_MEMBERS[case]
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    with zipped(root, tmp_path / "own.zip") as archive:
        archive.writestr(name, encoded(), method)
    text = refused(tmp_path / "own.zip", message)
    assert text.replace("\n", "").isprintable()


def test_encrypted_and_damaged_members_of_a_zip_archive_are_told_together(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 3, "b": 2})
    path = tmp_path / "own.zip"
    zipped(root, path).close()
    content = bytearray(path.read_bytes())
    first = content.find(b"PK\1\2")
    content[first + 8] |= 1
    member_start = content.find(b"a/01.png")
    content[member_start + 200] ^= 0xFF
    path.write_bytes(content)
    text = refused(path, "2 of 5 images cannot be used")
    assert "an encrypted file" in text
    assert "damaged in the archive" in text


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_cut_zip_archive_is_refused(tmp_path: Path, share: float) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    path = tmp_path / "own.zip"
    zipped(root, path).close()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, r"expected a whole \.zip.*fetch it again")


def test_missing_image_is_named(tmp_path: Path) -> None:
    images = numbered()
    del images[77]
    path = official_archive(tmp_path / "flowers.tgz", images)
    refused(path, r"missing: jpg/image_0077\.jpg; others: none")


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
    refused(path, r"missing: jpg/image_0009\.jpg; others: jpg/rose\.jpg")


def test_truncated_jpeg_in_an_archive_is_named(tmp_path: Path) -> None:
    images = {**numbered(), 12: encoded((64, 64))[:2000]}
    path = official_archive(tmp_path / "flowers.tgz", images)
    refused(path, r"(?s)1 of 1,360 images cannot be used:.*truncated or damaged.*image_0012\.jpg")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "own", {"rose": 3, "aster": 3})


def hundred_megapixels() -> bytes:
    return saved(Image.new("1", (10_000, 10_000)), "PNG")


HOSTILE_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated JPEG": (lambda: encoded((64, 64))[:2000], "truncated or damaged"),
    "JPEG cut in its header": (lambda: encoded()[:100], "expected an image.*damaged"),
    "100 megapixels": (hundred_megapixels, "at most 64,000,000 pixels"),
    "text": (lambda: b"not an image", "expected an image.*a text"),
    "empty file": (lambda: b"", "expected an image.*empty file"),
    "script behind a signature": (lambda: b"\xff\xd8\xff<script>", "expected an image"),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
}


@pytest.mark.parametrize("case", HOSTILE_FILES)
def test_hostile_file_is_named(own: Path, case: str) -> None:
    content, message = HOSTILE_FILES[case]
    (own / "rose" / "bad.jpg").write_bytes(content())
    refused(own, rf"(?s){message}.*\n    rose/bad\.jpg")


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
    refused(root, rf"expected at least 2 images a class.*got aster \({actual}\)")


def test_dangling_and_circular_links_are_named(own: Path) -> None:
    link = own / "rose" / "link.png"
    link.symlink_to(own / "rose" / "gone.png")
    refused(own, r"(?s)cannot be read \(No such file.*rose/link\.png")
    link.unlink()
    link.symlink_to(link)
    refused(own, r"(?s)cannot be read.*rose/link\.png")


def test_named_pipe_is_refused_and_not_waited_for(own: Path) -> None:
    os.mkfifo(own / "rose" / "pipe.jpg")
    refused(own, r"(?s)expected an image, got a special file.*rose/pipe\.jpg")
