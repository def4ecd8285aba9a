from pathlib import Path

import pytest

from flowers17.config import DatasetSettings
from flowers17.data.source import dataset_source, encoded_images, source_from
from flowers17.errors import ChecksumMismatch, InvalidInput
from tests.support.image_files import class_folders, encoded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "own", {"rose": 3, "aster": 2})


def digest_of(root: Path) -> str | None:
    return source_from(str(root)).digest


def test_classes_and_images_are_sorted_by_name(root: Path) -> None:
    folder = encoded_images(source_from(str(root)))
    assert folder.layout.class_names == ("aster", "rose")
    assert len(folder.layout.rows) == 5
    images = list(folder)
    assert [(image.name, image.label, image.row) for image in images] == [
        ("aster/00.png", 0, 0),
        ("aster/01.png", 0, 1),
        ("rose/00.png", 1, 2),
        ("rose/01.png", 1, 3),
        ("rose/02.png", 1, 4),
    ]
    assert images[0].data == (root / "aster" / "00.png").read_bytes()


def test_digest_is_of_names_and_contents_and_not_of_the_place(root: Path, tmp_path: Path) -> None:
    digest = digest_of(root)
    moved = root.rename(tmp_path / "elsewhere")
    assert digest_of(moved) == digest
    image = moved / "rose" / "00.png"
    image.rename(moved / "rose" / "10.png")
    renamed = digest_of(moved)
    (moved / "rose" / "10.png").write_bytes(encoded(seed=5))
    assert len({digest, renamed, digest_of(moved)}) == 3


def test_what_is_no_image_counts_for_no_digest(root: Path) -> None:
    digest = digest_of(root)
    (root / ".DS_Store").write_bytes(b"x")
    (root / "README.md").write_bytes(b"x")
    (root / "rose" / "Thumbs.db").write_bytes(b"x")
    (root / "rose" / ".hidden").mkdir()
    (root / ".git").mkdir()
    source = source_from(str(root))
    assert source.digest == digest
    assert source.notes == (
        "ignored, because they are not images: 1 × .DS_Store, 1 × .git, 1 × .hidden, "
        "1 × README.md, 1 × Thumbs.db",
    )


def test_image_that_changed_meanwhile_is_noticed(root: Path) -> None:
    source = source_from(str(root))
    assert len(list(encoded_images(source))) == 5
    (root / "rose" / "01.png").write_bytes(encoded(seed=7))
    with pytest.raises(ChecksumMismatch, match="changed while the study ran"):
        list(encoded_images(source))


def test_unchanged_images_are_read_once_to_be_identified(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    open_file = Path.open

    def watched(path: Path, *mode: str) -> object:
        read.append(path.name)
        return open_file(path, *mode)

    monkeypatch.setattr(Path, "open", watched)
    import os

    for path in root.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    digests = {digest_of(root) for _ in range(3)}
    assert len(digests) == 1
    assert len(read) == 5


def test_link_within_the_folder_is_followed(root: Path) -> None:
    (root / "aster" / "02.png").symlink_to(root / "aster" / "00.png")
    assert len(encoded_images(source_from(str(root))).layout.rows) == 6


def test_links_that_leave_the_folder_are_refused_together_or_followed(
    root: Path, tmp_path: Path
) -> None:
    outside = class_folders(tmp_path / "outside", {"tulip": 2})
    (root / "rose" / "link.png").symlink_to(outside / "tulip" / "00.png")
    (root / "tulip").symlink_to(outside / "tulip")
    with pytest.raises(InvalidInput, match=r"leave it: rose/link\.png, tulip; set dataset\.links"):
        source_from(str(root))
    source = dataset_source(DatasetSettings(source=str(root), links="follow"))
    assert source.summary == "3 classes, 8 images"


def test_link_to_a_folder_above_it_ends(root: Path) -> None:
    (root / "rose" / "again").symlink_to(root)
    with pytest.raises(InvalidInput, match=r"again: .*a link to a folder around it"):
        source_from(str(root))


@pytest.mark.parametrize("name", ["line\nbreak.png", "esc\x1b[2J.png", "bad\udcff.png"])
def test_name_with_control_characters_is_refused(root: Path, name: str) -> None:
    (root / "rose" / name).write_bytes(encoded())
    with pytest.raises(InvalidInput, match="printable UTF-8") as problem:
        source_from(str(root))
    assert str(problem.value).isprintable()


@pytest.mark.parametrize(
    "name", ["1.01\u202fAM.png", "v\u00a013.png", "黄\u3000.png", "👩\u200d🚒.png"]
)
def test_names_with_unusual_spaces_are_read(root: Path, name: str) -> None:
    (root / "rose" / name).write_bytes(encoded())
    assert f"rose/{name}" in [image.name for image in encoded_images(source_from(str(root)))]
