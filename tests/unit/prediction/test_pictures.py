"""Paths of image files in order, and blocks of images decoded as the data set's were."""

import os
import threading
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flowers17.data.images import image_set
from flowers17.data.source import source_from
from flowers17.errors import InvalidInput
from flowers17.prediction.pictures import Block, blocks, image_paths, picture
from tests.support.image_files import class_folders, encoded, saved

SIZE = 12


def _paths(*names: str, lines: Iterable[bytes] = ()) -> list[str]:
    return list(image_paths(names, lines, pytest.fail))


def _files(folder: Path, n_images: int) -> list[str]:
    """Write random images; return their paths."""
    for number in range(n_images):
        data = encoded((20, 16), seed=number, kind="PNG")
        (folder / f"{number:03d}.png").write_bytes(data)
    return [str(folder / f"{number:03d}.png") for number in range(n_images)]


class TestPaths:
    def test_are_those_given_in_their_order(self) -> None:
        assert _paths("b.png", "a.png", "b.png") == ["b.png", "a.png", "b.png"]

    def test_of_a_folder_are_all_below_sorted_but_hidden_ones(self, tmp_path: Path) -> None:
        for name in ("b/2.png", "b/1.png", "a/c/3.png", "0.png", ".x.png", ".git/4.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        names = [Path(path).relative_to(tmp_path).as_posix() for path in _paths(str(tmp_path))]
        assert names == ["0.png", "a/c/3.png", "b/1.png", "b/2.png"]

    def test_on_standard_input_are_one_a_line_in_the_file_system_s_encoding(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner/1.png").touch()
        lines = [b"a b.png\n", b"\n", b"\xff.png\r\n", os.fsencode(tmp_path)]
        inner = str(tmp_path / "inner/1.png")
        paths = _paths("first.png", "-", lines=lines)
        assert paths == ["first.png", "a b.png", os.fsdecode(b"\xff.png"), inner]

    def test_of_a_link_that_leads_back_are_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "1.png").touch()
        (tmp_path / "again").symlink_to(tmp_path)
        assert _paths(str(tmp_path)) == [str(tmp_path / "1.png")]

    def test_of_a_linked_folder_that_holds_others_are_told_to_be_missing(
        self, tmp_path: Path
    ) -> None:
        for name in ("photos/1.png", "photos/inner/2.png", "photos/.hidden/3.png", "real/4.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        photos = tmp_path / "photos"
        for name, target in {
            "again": "inner",
            "inner/back": "../inner",
            "out": "../real",
            "inner/up": "../..",
            "unhidden": ".hidden",
        }.items():
            (photos / name).symlink_to(target)
        refusals: list[str] = []
        paths = list(image_paths([str(photos)], [], refusals.append))
        assert paths == [str(photos / "1.png"), str(photos / "inner/2.png")]
        reason = "expected a folder, got a link to one that is not among those below"
        assert sorted(refusals) == [
            f"folder {photos / name}: {reason} {photos}; give it by itself"
            for name in ("inner/up", "out", "unhidden")
        ]
        assert _paths(str(photos / "out")) == [str(photos / "out/4.png")]

    def test_of_an_empty_folder_are_told_to_be_none(self, tmp_path: Path) -> None:
        refusals: list[str] = []
        assert list(image_paths([str(tmp_path)], [], refusals.append)) == []
        assert refusals == [f"folder {tmp_path}: expected images below it, got none"]


class TestBlocks:
    def test_hold_the_pixels_that_the_data_set_would_have(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "data", {"daisy": 3, "iris": 4})
        turned = Image.Exif()
        turned[0x0112] = 6
        grey = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(30, 20))
        (root / "iris/turned.jpg").write_bytes(saved(grey, "JPEG", exif=turned))
        expected = image_set(source_from(str(root)), size=SIZE)
        loaded = list(blocks(_paths(str(root)), [SIZE, 7], 64, pytest.fail))
        assert len(loaded) == 1
        names = [Path(path).relative_to(root).as_posix() for path in loaded[0].paths]
        assert tuple(names) == expected.names
        np.testing.assert_array_equal(loaded[0].squares[SIZE], expected.images)
        smaller = image_set(source_from(str(root)), size=7)
        np.testing.assert_array_equal(loaded[0].squares[7], smaller.images)

    @pytest.mark.parametrize("resize", ["pad", "stretch"])
    def test_are_made_square_as_the_data_set_is(self, resize: Any, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "data", {"daisy": 3, "iris": 2})
        expected = image_set(source_from(str(root)), size=SIZE, resize=resize)
        [block] = blocks(_paths(str(root)), [SIZE], 64, pytest.fail, resize)
        np.testing.assert_array_equal(block.squares[SIZE], expected.images)
        cropped = image_set(source_from(str(root)), size=SIZE)
        assert not np.array_equal(expected.images, cropped.images)

    def test_are_full_but_for_the_last_whatever_is_left_out(self, tmp_path: Path) -> None:
        paths = _files(tmp_path, 9)
        (tmp_path / "note.txt").write_text("a daisy")
        refusals: list[str] = []
        names = [*paths[:2], str(tmp_path / "note.txt"), *paths[2:], str(tmp_path / "none.png")]
        loaded = list(blocks(names, [SIZE], 4, refusals.append))
        assert [len(block.paths) for block in loaded] == [4, 4, 1]
        assert [path for block in loaded for path in block.paths] == paths
        assert [Path(refusal.split(": ")[0]).name for refusal in refusals] == [
            "note.txt",
            "none.png",
        ]

    def test_take_no_more_paths_than_the_next_block_needs(self, tmp_path: Path) -> None:
        [path] = _files(tmp_path, 1)
        numbers: list[int] = []

        def endless() -> Iterable[str]:
            for number in count():
                numbers.append(number)
                yield path

        endless_blocks = blocks(endless(), [SIZE], 5, pytest.fail)
        assert next(endless_blocks).squares[SIZE].shape == (5, SIZE, SIZE, 3)
        assert len(numbers) == 10
        next(endless_blocks)
        assert len(numbers) == 15

    def test_leave_no_thread_when_nobody_wants_more(self, tmp_path: Path) -> None:
        before = threading.active_count()
        unread = blocks(_files(tmp_path, 9), [SIZE], 2, pytest.fail)
        next(unread)
        unread.close()  # type: ignore[attr-defined]
        assert threading.active_count() == before

    def test_compute_what_models_share_once(self) -> None:
        block = Block((), {})
        assert [block.once("a", lambda: object()) for _ in range(2)] == [block.memo["a"]] * 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04", "got a zip archive"),
        (b"a text", "got a text"),
        (encoded((90, 90), kind="JPEG")[:-300], "got a truncated or damaged one"),
        (b"%PDF", "got a PDF document; convert it to JPEG or PNG"),
    ],
)
def test_an_error_on_a_picture_names_nothing_that_only_a_data_set_has(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    problems: list[str] = []
    assert list(blocks([str(tmp_path / "x.jpg")], [SIZE], 1, problems.append)) == []
    [text] = problems
    assert problem in text
    for words in ("class folder", "remove", "dataset."):
        assert words not in text
    with pytest.raises(InvalidInput, match=problem):
        picture(content, "the photograph", [SIZE])
