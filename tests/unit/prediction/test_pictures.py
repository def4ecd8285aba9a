"""Image files as people name them: which, in which order, decoded as the data set's were."""

import os
import threading
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.data.images import image_set
from flowers17.data.source import source_from
from flowers17.prediction.pictures import Block, blocks, image_paths
from tests.support.image_files import class_folders, encoded, saved

SIZE = 12


def _paths(*given: str, lines: Iterable[bytes] = ()) -> list[str]:
    return list(image_paths(given, lines, pytest.fail))


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
        found = [Path(one).relative_to(tmp_path).as_posix() for one in _paths(str(tmp_path))]
        assert found == ["0.png", "a/c/3.png", "b/1.png", "b/2.png"]

    def test_on_standard_input_are_one_a_line_in_the_file_system_s_encoding(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner/1.png").touch()
        lines = [b"a b.png\n", b"\n", b"\xff.png\r\n", os.fsencode(tmp_path)]
        inner = str(tmp_path / "inner/1.png")
        found = _paths("first.png", "-", lines=lines)
        assert found == ["first.png", "a b.png", os.fsdecode(b"\xff.png"), inner]

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
        told: list[str] = []
        found = list(image_paths([str(photos)], [], told.append))
        assert found == [str(photos / "1.png"), str(photos / "inner/2.png")]
        says = "expected a folder, got a link to one that is not among those below"
        assert sorted(told) == [
            f"folder {photos / name}: {says} {photos}; give it by itself"
            for name in ("inner/up", "out", "unhidden")
        ]
        assert _paths(str(photos / "out")) == [str(photos / "out/4.png")]

    def test_of_an_empty_folder_are_told_to_be_none(self, tmp_path: Path) -> None:
        told: list[str] = []
        assert list(image_paths([str(tmp_path)], [], told.append)) == []
        assert told == [f"folder {tmp_path}: expected images below it, got none"]


class TestBlocks:
    def test_hold_the_pixels_that_the_data_set_would_have(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "data", {"daisy": 3, "iris": 4})
        turned = Image.Exif()
        turned[0x0112] = 6
        grey = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(30, 20))
        (root / "iris/turned.jpg").write_bytes(saved(grey, "JPEG", exif=turned))
        expected = image_set(source_from(str(root)), size=SIZE)
        found = list(blocks(_paths(str(root)), [SIZE, 7], 64, pytest.fail))
        assert len(found) == 1
        names = [Path(one).relative_to(root).as_posix() for one in found[0].paths]
        assert tuple(names) == expected.names
        np.testing.assert_array_equal(found[0].squares[SIZE], expected.images)
        smaller = image_set(source_from(str(root)), size=7)
        np.testing.assert_array_equal(found[0].squares[7], smaller.images)

    def test_are_full_but_for_the_last_whatever_is_left_out(self, tmp_path: Path) -> None:
        paths = _files(tmp_path, 9)
        (tmp_path / "note.txt").write_text("a daisy")
        told: list[str] = []
        given = [*paths[:2], str(tmp_path / "note.txt"), *paths[2:], str(tmp_path / "none.png")]
        found = list(blocks(given, [SIZE], 4, told.append))
        assert [len(one.paths) for one in found] == [4, 4, 1]
        assert [path for one in found for path in one.paths] == paths
        assert [Path(one.split(": ")[0]).name for one in told] == ["note.txt", "none.png"]

    def test_take_no_more_paths_than_the_next_block_needs(self, tmp_path: Path) -> None:
        [path] = _files(tmp_path, 1)
        taken: list[int] = []

        def endless() -> Iterable[str]:
            for number in count():
                taken.append(number)
                yield path

        found = blocks(endless(), [SIZE], 5, pytest.fail)
        assert next(found).squares[SIZE].shape == (5, SIZE, SIZE, 3)
        assert len(taken) == 10
        next(found)
        assert len(taken) == 15

    def test_leave_no_thread_when_nobody_wants_more(self, tmp_path: Path) -> None:
        before = threading.active_count()
        found = blocks(_files(tmp_path, 9), [SIZE], 2, pytest.fail)
        next(found)
        found.close()  # type: ignore[attr-defined]
        assert threading.active_count() == before

    def test_compute_what_models_share_once(self) -> None:
        block = Block((), {})
        assert [block.once("a", lambda: object()) for _ in range(2)] == [block.memo["a"]] * 2
