"""The command `predict`: JSON, CSV and a table of what a network of a store says."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Store
from flowers17.cli import main
from flowers17.learners.evaluation import probabilities
from tests.support.tiny_training import examples, fresh, prepared
from tests.unit.prediction.made_models import CLASSES, Maker, network, stacking

NAME = "tiny, clean split"
MEASURED = (
    "accuracy 0.500 on 10 held out, clean split; fitted on 20 images, clean split; about 2.2 s to "
    "fit on all: `flowers17 run learners --set learners.refit=true`\n"
)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a folder with a store and three images in `images`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    maker = Maker(Store("store"))
    network(maker, NAME)
    stacking(maker, "stacking of [b]x[/], clean split", 15)
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(examples().inputs[:3]):
        Image.fromarray(pixels).save(f"images/{number}.png")
    return tmp_path


@pytest.fixture
def expected() -> np.ndarray:
    """The network's probabilities of the three images."""
    return probabilities(fresh(), examples().inputs[:3])


def _exit_code(*arguments: str) -> int | str | None:
    try:
        main(["predict", "--device", "cpu", *arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def test_json_is_an_object_an_image(
    folder: Path, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit_code("images", "--model", NAME, "--json") == 0
    printed = capsys.readouterr()
    predictions = [json.loads(line) for line in printed.out.splitlines()]
    assert [prediction["path"] for prediction in predictions] == [
        f"images/{number}.png" for number in range(3)
    ]
    for prediction, proba in zip(predictions, expected, strict=True):
        assert prediction["probabilities"] == dict(zip(CLASSES, proba.tolist(), strict=True))
        assert prediction["class"] == CLASSES[int(proba.argmax())]
        assert prediction["probability"] == float(proba.max())
        assert prediction["agreement"] is None
    assert printed.err == f"model: {NAME}\n{MEASURED}"


def test_csv_has_a_column_a_class_and_nothing_that_a_spreadsheet_would_run(
    folder: Path, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "images/0.png").rename(folder / "=1+1.png")
    assert _exit_code("=1+1.png", "--model", NAME, "--csv") == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    safe = [f"'{name}" if name.startswith("=") else name for name in CLASSES]
    assert header == [
        "path",
        "class",
        "probability",
        "second_class",
        "agreement",
        "unlike",
        "set",
        *safe,
    ]
    assert row[0] == "'=1+1.png"
    assert [float(value) for value in row[7:]] == pytest.approx(expected[0], abs=1e-6)
    first, second = (safe[index] for index in np.argsort(-expected[0])[:2])
    assert (row[1], row[3:7]) == (first, [second, "", "", ""])


def test_the_table_shows_the_first_two_classes(
    folder: Path, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit_code("images/1.png", "--model", NAME) == 0
    _, row = capsys.readouterr().out.splitlines()
    first, second = np.argsort(-expected[1])[:2]
    shown = [CLASSES[first], f"{expected[1, first]:.3f}", CLASSES[second]]
    assert row.split() == [*shown, f"{expected[1, second]:.3f}", "images/1.png"]


def test_no_path_is_broken_where_lines_are_short(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "images/a folder of holiday pictures/IMG_20260704_174233_BURST001_COVER copy.png"
    (folder / path).parent.mkdir()
    (folder / "images/2.png").rename(folder / path)
    assert _exit_code("images/1.png", path, "--model", NAME) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["class", "probability", "second", "image"]
    assert [row[head.index("image") :] for row in rows] == ["images/1.png", path]


def test_paths_come_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"images/\xff.png")
    (folder / "images/2.png").rename(odd)
    lines = b"images/1.png\n\n" + os.fsencode(odd) + b"\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert _exit_code("-", "--model", NAME, "--json") == 0
    paths = [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()]
    assert paths == ["images/1.png", odd]


def test_images_in_a_linked_folder_are_missing_aloud(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos").mkdir()
    (folder / "images/0.png").rename("photos/0.png")
    (folder / "photos/link").symlink_to("../images")
    assert _exit_code("photos", "--model", NAME, "--json") == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["path"] for line in printed.out.splitlines()] == ["photos/0.png"]
    assert "passed over folder photos/link: expected a folder, got a link" in printed.err
    assert printed.err.endswith("1 predicted, 1 passed over\n")


def test_standard_input_may_be_closed_where_nothing_is_read_from_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert _exit_code("images/0.png", "--model", NAME, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert _exit_code("images/0.png", "-", "--model", NAME, "--json") == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "passed over standard input: expected paths of images" in printed.err


def test_what_cannot_be_read_is_passed_over_and_ends_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "images/note.txt").write_text("a daisy")
    assert _exit_code("none.png", "images", "--model", NAME, "--json") == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert "passed over none.png: expected an image" in printed.err
    assert "passed over images/note.txt: expected an image" in printed.err
    assert printed.err.endswith("3 predicted, 2 passed over\n")


def test_the_list_names_what_there_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code("--list", "--json") == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    names = ("name", "kind", "accuracy", "measured_on", "cross_validated", "fitted_on")
    on = ("10 held out, clean split", "20 images, clean split")
    assert [[model[name] for name in names] for model in listed] == [
        ["stacking of [b]x[/], clean split", "ensemble", 0.6, on[0], 0.75, on[1]],
        [NAME, "network", 0.5, on[0], None, on[1]],
    ]
    assert _exit_code("--list") == 0
    assert "stacking of [b]x[/], clean split" in capsys.readouterr().out


def test_the_list_and_the_model_name_balanced_accuracy_where_classes_differ_in_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, images = Maker(Store(tmp_path / "store")), tmp_path / "0.png"
    network(maker, "unequal", n_correct=9, by_class=[[9, 9], [0, 1], [0, 0]])
    Image.fromarray(examples().inputs[0]).save(images)
    store = ("--store", str(maker.store.root))
    assert _exit_code("--list", *store) == 0
    header, row = capsys.readouterr().out.splitlines()[:2]
    titles = ["model", "kind", "accuracy", "balanced accuracy", "measured on", "fitted on"]
    assert re.split(r"  +", header.strip()) == [*titles, "artifact"]
    assert re.split(r"  +", row.strip())[:4] == ["unequal", "network", "0.9000", "0.5000"]
    assert _exit_code(str(images), *store, "--csv") == 0
    summary = capsys.readouterr().err
    assert "the single model with the best validation balanced accuracy of the store" in summary
    assert "\nbalanced accuracy 0.500 on 10 held out, clean split; fitted on" in summary
    network(maker, "equal")
    assert _exit_code("--list", "--json", *store) == 0
    listed = json.loads(capsys.readouterr().out)
    measures = [(model["accuracy"], model["balanced_accuracy"]) for model in listed]
    assert measures == [(0.5, None), (0.9, 0.5)]


def test_a_model_of_an_older_version_leads_to_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, store = Maker(Store(tmp_path)), ("--store", str(tmp_path))
    result = {"split": "clean", "kind": "clean", "n_train": 20, "n_validation": 10}
    config = {"maps": [], "classifier": "knn"}
    values = {"result": {**result, "n_correct": 9, "classes": CLASSES}}
    maker.publish("fitted", "knn, clean split", values, config=config)
    network(maker, NAME)
    Image.fromarray(examples().inputs[0]).save(tmp_path / "0.png")
    assert _exit_code(str(tmp_path / "0.png"), *store) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "knn, clean split: expected a stored classifier, got the fit of an older" in message
    assert "or name another model with --model" in message
    assert _exit_code(str(tmp_path / "0.png"), "--model", "knn, clean split", *store) == 2
    assert "--model" not in capsys.readouterr().err
    assert _exit_code(str(tmp_path / "0.png"), "--model", NAME, *store) == 0


def test_the_list_and_the_model_have_the_report_s_mean_over_clean_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, store = Maker(Store(tmp_path)), ("--store", str(tmp_path))
    splits = {"splits": maker.publish("splits", "splits", {})}
    for split, n_correct in (("clean", 9), ("repeat-01", 7), ("repeat-02", 6)):
        kind = "repeated" if "-" in split else split
        label = f"tiny, {split} split"
        network(maker, label, split=split, kind=kind, n_correct=n_correct, inputs=splits)
    Image.fromarray(examples().inputs[0]).save(tmp_path / "0.png")
    assert _exit_code("--list", "--json", *store) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [model["accuracy"] for model in listed] == [0.9, 0.7, 0.6]
    means = [(model["over_clean_splits"], model["n_clean_splits"]) for model in listed]
    assert means == [(pytest.approx(0.65), 2)] * 3
    assert _exit_code("--list", *store) == 0
    assert "over clean splits" in capsys.readouterr().out.splitlines()[0]
    assert _exit_code(str(tmp_path / "0.png"), *store, "--csv") == 0
    assert "accuracy 0.650 over 2 clean splits, on average; fitted on" in capsys.readouterr().err


def test_the_model_taken_is_said_when_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(Maker(Store(tmp_path)), NAME)
    Image.fromarray(examples().inputs[0]).save(tmp_path / "0.png")
    assert _exit_code(str(tmp_path / "0.png"), "--store", str(tmp_path), "--csv") == 0
    message = f"model: {NAME} (the single model with the best validation accuracy of the store)\n"
    assert capsys.readouterr().err == message + MEASURED
