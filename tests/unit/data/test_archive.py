import gzip
import hashlib
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from flowers17.data import archive
from flowers17.data.archive import datasplits_file, encoded_archive
from flowers17.errors import ChecksumMismatch, InvalidInput
from tests.support.image_files import member, numbered, official_archive


@pytest.mark.parametrize("name", ["a.tgz", "a.tar.gz", "a.tar"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_images_and_labels_come_from_the_numbers(tmp_path: Path, name: str, prefix: str) -> None:
    images = numbered()
    backwards = dict(reversed(images.items()))
    path = official_archive(tmp_path / name, backwards, prefix=prefix)
    image_by_name = {image.name: image for image in encoded_archive(path)}
    assert len(image_by_name) == 1360
    for number, label in ((1, 0), (80, 0), (81, 1), (1360, 16)):
        image = image_by_name[f"jpg/image_{number:04d}.jpg"]
        assert (image.label, image.data) == (label, images[number])


def test_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tgz")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(list(encoded_archive(path, sha256=right))) == 1360
    with pytest.raises(ChecksumMismatch, match="changed while the study ran"):
        list(encoded_archive(path, sha256="0" * 64))


def test_bytes_after_the_archive_count_for_its_digest(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tar")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes() + b"\0" * 100_000)
    with pytest.raises(ChecksumMismatch):
        list(encoded_archive(path, sha256=right))


@pytest.mark.parametrize("name", ["a.tgz", "a.tar"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.98])
def test_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = official_archive(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidInput, match=r"archive .*a\.t.*again"):
        list(encoded_archive(path))


def test_gzip_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tgz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(encoded_archive(path))


def test_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(InvalidInput, match=r"whole \.tar or \.tar\.gz"):
        list(encoded_archive(path))


def test_large_member_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    info, _ = member("jpg/image_0001.jpg")
    info.size = archive.MAX_MEMBER_BYTES + 1
    path.write_bytes(info.tobuf())
    with pytest.raises(InvalidInput, match=r"image_0001.*at most"):
        list(encoded_archive(path))


def test_gzip_bomb_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 2**22)
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, 2**33
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        stream.write(b"\0" * 2**25)
    with pytest.raises(InvalidInput, match="once decompressed"):
        list(encoded_archive(path))


def test_damaged_headers_never_escape_as_another_error(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tar")
    data = path.read_bytes()
    for position in range(0, 3000, 101):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        with suppress(InvalidInput):
            assert len(list(encoded_archive(path))) == 1360


def test_datasplits_lie_beside_the_archive(tmp_path: Path) -> None:
    assert datasplits_file(tmp_path / "a.tgz") is None
    (tmp_path / "datasplits.mat").write_bytes(b"x")
    assert datasplits_file(tmp_path / "a.tgz") == tmp_path / "datasplits.mat"
