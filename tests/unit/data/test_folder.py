from pathlib import Path

import pytest

from flowers17.data.folder import encoded_folder, folder_digest
from flowers17.errors import ChecksumMismatch, InvalidInput
from tests.support.image_files import class_folders, encoded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "own", {"rose": 3, "aster": 2})


def test_classes_and_images_are_sorted_by_name(root: Path) -> None:
    folder = encoded_folder(root)
    assert folder.class_names == ("aster", "rose")
    assert folder.n_images == 5
    images = list(folder)
    assert [(image.name, image.label) for image in images] == [
        ("aster/00.png", 0),
        ("aster/01.png", 0),
        ("rose/00.png", 1),
        ("rose/01.png", 1),
        ("rose/02.png", 1),
    ]
    assert images[0].data == (root / "aster" / "00.png").read_bytes()


def test_digest_is_of_names_and_contents_and_not_of_the_place(root: Path, tmp_path: Path) -> None:
    digest = folder_digest(root)
    moved = root.rename(tmp_path / "elsewhere")
    assert folder_digest(moved) == digest
    image = moved / "rose" / "00.png"
    image.rename(moved / "rose" / "10.png")
    renamed = folder_digest(moved)
    (moved / "rose" / "10.png").write_bytes(encoded(seed=5))
    assert len({digest, renamed, folder_digest(moved)}) == 3


def test_hidden_files_are_ignored(root: Path) -> None:
    digest = folder_digest(root)
    (root / ".DS_Store").write_bytes(b"x")
    (root / "rose" / ".hidden").mkdir()
    (root / ".git").mkdir()
    assert folder_digest(root) == digest


def test_image_that_changed_meanwhile_is_noticed(root: Path) -> None:
    digest = folder_digest(root)
    assert len(list(encoded_folder(root, digest=digest))) == 5
    (root / "rose" / "01.png").write_bytes(encoded(seed=7))
    with pytest.raises(ChecksumMismatch, match="changed while the study ran"):
        list(encoded_folder(root, digest=digest))


def test_link_within_the_folder_is_followed(root: Path) -> None:
    (root / "aster" / "02.png").symlink_to(root / "aster" / "00.png")
    assert encoded_folder(root).n_images == 6


def test_link_that_leaves_the_folder_is_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(encoded())
    (root / "rose" / "link.png").symlink_to(outside)
    with pytest.raises(InvalidInput, match=r"link\.png.*symbolic link that leaves"):
        folder_digest(root)


@pytest.mark.parametrize("name", ["line\nbreak.png", "esc\x1b[2J.png", "bad\udcff.png"])
def test_unprintable_name_is_refused(root: Path, name: str) -> None:
    (root / "rose" / name).write_bytes(encoded())
    with pytest.raises(InvalidInput, match="printable UTF-8") as problem:
        folder_digest(root)
    assert str(problem.value).isprintable()
