import gzip
import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from flowers17.data import archive
from flowers17.data.archive import datasplits_file
from flowers17.data.source import encoded_images, source_from
from flowers17.errors import InvalidInput
from tests.support.image_files import class_folders, encoded, member, numbered, official_archive


@pytest.mark.parametrize("name", ["a.tgz", "a.tar.gz", "a.tar"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_images_and_labels_come_from_the_numbers(tmp_path: Path, name: str, prefix: str) -> None:
    images = numbered()
    backwards = dict(reversed(images.items()))
    path = official_archive(tmp_path / name, backwards, prefix=prefix)
    image_by_name = {image.name: image for image in encoded_images(source_from(str(path)))}
    assert len(image_by_name) == 1360
    for number, label in ((1, 0), (80, 0), (81, 1), (1360, 16)):
        image = image_by_name[f"jpg/image_{number:04d}.jpg"]
        assert (image.label, image.data, image.row) == (label, images[number], number - 1)


@pytest.mark.parametrize("name", ["a.tgz", "a.tar"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.98])
def test_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = official_archive(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidInput, match=r"a\.t.*again"):
        source_from(str(path))


def test_gzip_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tgz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="cannot be read"):
        source_from(str(path))


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
def test_other_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(InvalidInput, match=r"whole \.zip, \.tar or \.tar\.gz file"):
        source_from(str(path))


def test_large_member_is_told_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 10_000)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            content = encoded(kind="PNG") + bytes(20_000 * (name == "a/2.png"))
            tar.addfile(member(name, content)[0], io.BytesIO(content))
    images = {image.name: image.data for image in encoded_images(source_from(str(path)))}
    assert "at most" in str(images.pop("a/2.png"))
    assert set(images.values()) == {encoded(kind="PNG")}


def test_gzip_bomb_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MIN_LIMIT_BYTES", 2**22)
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        info = tarfile.TarInfo("a/1.png")
        info.size = 2**33
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        stream.write(b"\0" * 2**25)
    with pytest.raises(InvalidInput, match="once decompressed"):
        source_from(str(path))


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_number_of_members_is_bounded(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    root = class_folders(tmp_path / "own", {"a": 3, "b": 3})
    kind = suffix.removeprefix(".")
    path = Path(shutil.make_archive(str(tmp_path / "own"), kind, root))
    assert source_from(str(path)).summary == "2 classes, 6 images"
    monkeypatch.setattr(archive, "MIN_LIMIT_MEMBERS", 5)
    monkeypatch.setattr(archive, "BYTES_A_MEMBER", 10**6)
    path.touch()
    with pytest.raises(InvalidInput, match="more than"):
        source_from(str(path))


def test_damaged_headers_never_escape_as_another_error(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tar")
    data = path.read_bytes()
    for position in range(0, 3000, 101):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        with suppress(InvalidInput):
            assert len(list(encoded_images(source_from(str(path))))) == 1360


def test_datasplits_lie_beside_the_archive(tmp_path: Path) -> None:
    assert datasplits_file(tmp_path / "a.tgz") is None
    (tmp_path / "datasplits.mat").write_bytes(b"x")
    assert datasplits_file(tmp_path / "a.tgz") == tmp_path / "datasplits.mat"
