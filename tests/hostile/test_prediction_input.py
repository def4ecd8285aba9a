"""Images, paths and words that `predict` cannot use: each said, none the end of the others."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Store
from flowers17.cli import main
from flowers17.data.encoded import MAX_IMAGE_BYTES
from flowers17.prediction.pictures import blocks, image_paths
from tests.support.image_files import encoded, saved
from tests.support.processes import output_of
from tests.support.stores import content
from tests.unit.prediction.made_models import CLASSES, Maker

BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "cannot be read (No such file or directory)"),
    "empty": (lambda path: path.touch(), "expected an image"),
    "text": (lambda path: path.write_text("a daisy"), "expected an image"),
    "truncated": (lambda path: path.write_bytes(encoded((90, 90))[:-900]), "whole image"),
    "damaged": (lambda path: path.write_bytes(encoded(kind="PNG")[:40] + b"x" * 99), "image"),
    "pixel bomb": (lambda path: path.write_bytes(_bomb()), "at most 64,000,000 pixels, got more"),
    "floating point": (
        lambda path: path.write_bytes(saved(Image.fromarray(np.ones((4, 4), "f4")), "TIFF")),
        "got floating-point pixels",
    ),
    "too large": (lambda path: _sparse(path), "expected at most 67,108,864 bytes, got more"),
    "pipe": (lambda path: os.mkfifo(path), "expected an image, got a special file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "got a special file"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "cannot be read"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
}


def _bomb() -> bytes:
    """Return a PNG of a few bytes whose header tells of 3.6 thousand million pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(encoded(kind="PNG"))
        stream.truncate(MAX_IMAGE_BYTES + 1)


class TestImages:
    @pytest.mark.parametrize("kind", BAD)
    def test_that_are_none_are_said_and_passed_over(self, kind: str, tmp_path: Path) -> None:
        write, message = BAD[kind]
        write(tmp_path / "bad.png")
        good = tmp_path / "good.png"
        good.write_bytes(encoded(kind="PNG"))
        refusals: list[str] = []
        names = [str(tmp_path / "bad.png"), str(good)]
        [block] = blocks(image_paths(names, [], refusals.append), [8], 4, refusals.append)
        assert block.paths == (str(good),)
        [problem] = refusals
        assert problem.startswith(f"{tmp_path / 'bad.png'}: ")
        assert message in problem

    @pytest.mark.parametrize("name", ["x" * 300, "a\0b.png", "\udcff.png", "", "a/" * 3000])
    def test_under_impossible_names_are_said_and_passed_over(self, name: str) -> None:
        refusals: list[str] = []
        assert list(blocks(image_paths([name], [], refusals.append), [8], 4, refusals.append)) == []
        assert len(refusals) == 1

    def test_have_names_that_move_no_cursor(self, tmp_path: Path) -> None:
        (tmp_path / "\x1b[2J\n\udcff.png").write_text("a daisy")
        refusals: list[str] = []
        assert (
            list(blocks(image_paths([str(tmp_path)], [], refusals.append), [8], 4, refusals.append))
            == []
        )
        assert "\\x1b[2J\\n\\udcff.png: expected an image" in refusals[0]
        assert refusals[0].isprintable()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a network that fails as soon as it is asked to compute."""
    store = Store(tmp_path / "store")
    result = {
        "classes": CLASSES,
        "image_size": 16,
        "recipe": {},
        "split": "clean",
        "kind": "clean",
        "n_correct": 5,
        "n_train": 20,
        "n_validation": 10,
    }
    config = {"learner": "no-such", "definition": None, "precision": "float32"}
    Maker(store).publish("training", "tiny, clean split", {"result": result}, config=config)
    return store


def _exit_code(*arguments: str) -> int | str | None:
    try:
        main(["predict", *arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


class TestWords:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "expected images: files, folders, or - for standard input"),
            (["x.png", "--json", "--csv"], "expected one of --json and --csv, got both"),
            (["--list", "--csv"], "expected --list without images, --model or --csv, got both"),
            (["x.png", "--list"], "expected --list without images, --model or --csv, got both"),
            (["--list", "--model", "x"], "without images, --model or --csv, got both"),
            (["x.png", "--by", "vote"], "'vote' is not one of 'refit', 'average'"),
            (["x.png", "--device", "tpu"], "'auto', 'cpu' or 'gpu', got 'tpu'"),
            (["x.png", "--model", "mk-9"], "model 'mk-9': expected a name in the store"),
            (["x.png", "--model", ""], "model '': expected a name in the store"),
            (["x.png", "--model", "[/]"], "there are: tiny, clean split"),
        ],
    )
    def test_that_are_wrong_end_with_2_and_the_reason(
        self,
        arguments: list[str],
        message: str,
        store: Store,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        before = content(store.root)
        assert _exit_code(*arguments, "--store", str(store.root)) == 2
        printed = capsys.readouterr()
        assert message in " ".join(printed.err.replace("│", " ").split())
        assert printed.out == ""
        assert content(store.root) == before

    def test_name_a_store_that_is_there(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("x.png", "--store", str(tmp_path / "none")) == 2
        assert "expected the folder of a store" in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "none").exists()

    def test_with_an_empty_store_say_what_to_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("x.png", "--store", str(tmp_path)) == 1
        assert "run `flowers17 run features` first" in " ".join(capsys.readouterr().err.split())


CODE = """
import json, sys
from flowers17.cli import main

for words in json.loads(sys.argv[1]):
    try:
        main(["predict", *words, "--json", *sys.argv[2:]])
    except SystemExit as end:
        print("exit code", end.code)
print("imported:", *sorted({"keras", "sklearn", "tensorflow", "torch", "jax"} & sys.modules.keys()))
"""


def test_nothing_to_predict_ends_with_1_and_imports_nothing_to_compute_with(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    words = [["no-such.png", "neither.png"], [str(tmp_path / "empty")], ["-"]]
    printed = output_of(CODE, json.dumps(words), "--store", str(store.root))
    assert printed.splitlines() == [*["exit code 1"] * 3, "imported:"]
