import gzip
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flowers17.config import DatasetSettings, StudySettings
from flowers17.data import oxford17
from flowers17.data.images import image_set
from flowers17.data.source import Source, encoded_images, source_from
from flowers17.digests import canonical_json
from flowers17.errors import ChecksumMismatch, InvalidInput
from tasks import images
from tests.support.image_files import class_folders, encoded, numbered, official_archive


def test_names_stand_for_sources_without_a_path() -> None:
    assert source_from("rendered") == Source("rendered")
    assert source_from("oxford17") == Source("oxford17", digest=oxford17.IMAGE_LIST_SHA256)


@pytest.mark.parametrize("name", ["a.tgz", "a.tar", "A.TAR.GZ"])
def test_official_archive_is_identified_by_its_images(tmp_path: Path, name: str) -> None:
    path = official_archive(tmp_path / "plain.tar").rename(tmp_path / name)
    source = source_from(str(path))
    assert (source.kind, source.path, source.summary) == (
        "archive",
        path,
        "17 classes, 1,360 images",
    )
    packed_anew = official_archive(tmp_path / "b.tgz", dict(reversed(numbered().items())))
    assert source_from(str(packed_anew)).digest == source.digest


def test_unpacked_official_archive_is_read_like_it(tmp_path: Path) -> None:
    path = official_archive(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    folder = source_from(str(tmp_path / "unpacked"))
    assert (folder.kind, folder.digest) == ("archive", source_from(str(path)).digest)
    assert encoded_images(folder).layout.class_names == oxford17.CLASS_NAMES


def packed(folder: Path, archive: Path) -> Path:
    """Write an archive of a folder and of its name, in an order of no use; return it."""
    paths = sorted(folder.rglob("*"), key=lambda path: path.name[::-1])
    names = {f"{folder.name}/{path.relative_to(folder)}": path for path in paths}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
            for name, path in names.items():
                stream.write(path, name)
        return archive
    formats = {".gz": tarfile.GNU_FORMAT, ".tgz": tarfile.PAX_FORMAT}
    mode, format_ = ("w:gz", formats[archive.suffix]) if archive.suffix in formats else ("w", 0)
    with tarfile.open(archive, mode, format=format_ or tarfile.USTAR_FORMAT) as stream:
        for name, path in names.items():
            stream.add(path, name, recursive=False)
    return archive


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.tar.gz"])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
def test_archive_holds_the_same_images_as_the_folder(tmp_path: Path, name: str, long: bool) -> None:
    class_name = "a" * 140 if long and name not in ("a.tar",) else "a"
    root = class_folders(tmp_path / "own", {class_name: 2, "b é": 3})
    (root / "README").write_text("x")
    archive = packed(root, tmp_path / name)
    folder_source, archive_source = source_from(str(root)), source_from(str(archive))
    assert archive_source.digest == folder_source.digest
    assert archive_source.summary == folder_source.summary == "2 classes, 5 images"
    assert archive_source.notes == folder_source.notes
    folder_set, archive_set = (
        image_set(source, size=16) for source in (folder_source, archive_source)
    )
    assert np.array_equal(folder_set.images, archive_set.images)
    assert folder_set.names == archive_set.names
    assert list(archive_set.labels) == [0, 0, 1, 1, 1]


def test_table_is_a_source_of_its_own_or_within_an_archive(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"photos": 6})
    rows = [f"photos/{k:02d}.png,{'xy'[k % 2]},{'train' if k < 4 else 'test'}" for k in range(6)]
    (root / "labels.csv").write_text("\n".join(["file,class,split", *rows]))
    table = source_from(str(root / "labels.csv"))
    assert table.summary == "2 classes, 4 training + 2 test images, parts as given"
    sources = [table, source_from(str(root))]
    sources += [source_from(str(packed(root, tmp_path / name))) for name in ("a.zip", "a.tgz")]
    assert len({source.digest for source in sources}) == 1
    for source in sources:
        images = image_set(source, size=16)
        assert images.class_names == ("x", "y")
        assert images.parts == ("train", "train", "test") * 2


def test_gzip_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    content = packed(root, tmp_path / "a.tar").read_bytes()
    pieces = [content[start : start + 700] for start in range(0, len(content), 700)]
    (tmp_path / "b.tgz").write_bytes(b"".join(map(gzip.compress, pieces)))
    assert source_from(str(tmp_path / "b.tgz")).digest == source_from(str(root)).digest


def test_zip_names_without_the_mark_of_utf8_are_read_as_macos_writes_them(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"Gänse": 2, "b": 2})
    path = packed(root, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = content.find(signature)
        while position >= 0:
            content[position + offset + 1] &= ~0x08
            position = content.find(signature, position + 4)
    path.write_bytes(content)
    assert source_from(str(path)).digest == source_from(str(root)).digest


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "own", {"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    assert source_from("own").path == tmp_path / "own"


@pytest.mark.parametrize("spec", ["cifar10", "/no/such/folder", "Rendered"])
def test_other_names_are_refused_with_all_forms(spec: str) -> None:
    with pytest.raises(InvalidInput, match=r"`oxford17`.*class folders.*table.*zip.*no s"):
        source_from(spec)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flowers.rar").write_bytes(b"Rar!")
    with pytest.raises(InvalidInput, match="got a file of another kind"):
        source_from(str(tmp_path / "flowers.rar"))


def test_content_that_changed_since_it_was_identified_is_noticed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 2})
    path = official_archive(tmp_path / "a.tgz")
    folder, archive = source_from(str(root)), source_from(str(path))
    (root / "a" / "00.png").write_bytes(encoded(seed=9))
    official_archive(path, {**numbered(), 5: encoded(seed=9)})
    for source in (folder, archive):
        with pytest.raises(ChecksumMismatch, match="changed"):
            list(encoded_images(source))


def test_sources_without_files_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"rendered\.flowers"):
        encoded_images(source_from("rendered"))
    with pytest.raises(InvalidInput, match="download"):
        encoded_images(source_from("oxford17"))


def test_same_images_have_one_key_whatever_they_lie_in(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 3})
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    table = root / "labels.csv"
    table.write_text("".join(["file,class\n", *(f"{path},{path[0]}\n" for path in paths)]))
    forms = [root, packed(root, tmp_path / "a.zip"), packed(root, tmp_path / "a.tgz"), table]
    stages = [
        images.stage(StudySettings(dataset=DatasetSettings(source=str(form))), 16) for form in forms
    ]
    assert len({stage.config for stage in stages}) == 1
    assert {stage.seed for stage in stages} == {None}
    assert all(stage.inputs == {} for stage in stages)
    sets = [image_set(source_from(str(form)), size=16) for form in forms]
    assert len({canonical_json(each.source | {"notes": []}) for each in sets}) == 1
