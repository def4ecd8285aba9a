import hashlib
from pathlib import Path

import pytest

from flowers17.data import oxford17
from flowers17.data.folder import folder_digest
from flowers17.data.source import Source, encoded_images, source_from
from flowers17.errors import ChecksumMismatch, InvalidInput
from tests.support.image_files import class_folders, encoded, official_archive


def test_names_stand_for_sources_without_a_path() -> None:
    assert source_from("rendered") == Source("rendered")
    assert source_from("oxford17") == Source("oxford17", digest=oxford17.IMAGE_LIST_SHA256)


@pytest.mark.parametrize("name", ["a.tgz", "a.tar", "A.TAR.GZ"])
def test_archive_is_identified_by_its_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"bytes")
    assert source_from(str(path)) == Source("archive", hashlib.sha256(b"bytes").hexdigest(), path)


def test_folder_is_identified_by_its_images(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    assert source_from(str(root)) == Source("folder", folder_digest(root), root)


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "own", {"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    assert source_from("own").path == tmp_path / "own"


@pytest.mark.parametrize("spec", ["cifar10", "/no/such/folder", "Rendered"])
def test_other_names_are_refused_with_the_four_forms(spec: str) -> None:
    with pytest.raises(InvalidInput, match=r"`rendered`.*`oxford17`.*archive.*class folders.*no s"):
        source_from(spec)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flowers.zip").write_bytes(b"PK")
    with pytest.raises(InvalidInput, match="got a file of another kind"):
        source_from(str(tmp_path / "flowers.zip"))


def test_content_that_changed_since_it_was_identified_is_noticed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    path = official_archive(tmp_path / "a.tgz")
    folder, archive = source_from(str(root)), source_from(str(path))
    (root / "a" / "00.png").write_bytes(encoded(seed=9))
    path.write_bytes(official_archive(tmp_path / "b.tar").read_bytes())
    for source in (folder, archive):
        with pytest.raises(ChecksumMismatch, match="changed"):
            list(encoded_images(source))


def test_sources_without_files_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"rendered\.flowers"):
        encoded_images(source_from("rendered"))
    with pytest.raises(InvalidInput, match="download"):
        encoded_images(source_from("oxford17"))
