"""A report on a person's own images has nothing of flowers or of the study of 2020."""

import csv
import json
import re
from pathlib import Path

import pytest

from flowers17.config import StudySettings
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Column, Record, without_study
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.page import title
from flowers17.reporting.report import all_figures, all_tables, write_report

from .made_attacks import attacked_study
from .made_ensembles import combined_study
from .made_finetunings import with_fine_tunings
from .maker import absent_stage

OWN = {"kind": "own", "verified": None, "class_names": ["no", "yes", "maybe"]}
# A study as a noun; `the study` in the settings names an ensemble, which the page does not show.
FOREIGN = re.compile(r"\bstud(?:y|ies)\b|\bours\b|(?<!\w)flowers?\b|Flowers-17\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> list[ReportInputs]:
    """Studies of a folder of images that together have every part of a report."""
    root = tmp_path_factory.mktemp("own")
    return [
        with_fine_tunings(combined_study(root / "most", missing_trainings={}, **OWN)),
        attacked_study(root / "attacked", **OWN),
    ]


@pytest.fixture(scope="module")
def folder(own: list[ReportInputs], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(own[0], folder)
    return folder


def _words(folder: Path) -> str:
    page = (folder / "index.html").read_text().partition("</style>")[2]
    shown = page.partition('id="settings"')[0]
    return " ".join(re.sub(r"<code>.*?</code>|<[^>]+>", " ", shown).split())


def test_its_page_says_nothing_of_flowers_or_the_study(
    own: list[ReportInputs], folder: Path, tmp_path: Path
) -> None:
    write_report(own[1], tmp_path)
    for words in map(_words, (folder, tmp_path)):
        assert [words[m.start() - 40 : m.end() + 20] for m in FOREIGN.finditer(words)] == []
        assert "Not a reproduction" not in words


def test_its_figures_say_nothing_of_flowers_or_the_study(own: list[ReportInputs]) -> None:
    figures = [f for inputs in own for part in all_figures(inputs).values() for f in part]
    assert len(figures) > 12
    for figure in figures:
        words = re.sub(r"<[^>]+>", " ", f"{figure.title} {figure.caption} {figure.svg}")
        assert not FOREIGN.search(words), figure.number


def test_its_numbers_have_no_reference_and_no_verdict(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    assert {"1", "2", "3b", "4b", "5b", "7", "8", "9", "10"} <= set(results["tables"])
    for table in results["tables"].values():
        for row in table["rows"]:
            assert not {"study", "verdict"} & set(row["cells"])
            assert not any(name.startswith(("study_", "verdict_")) for name in row["cells"])
            assert not any({"reference", "verdict"} & set(cell) for cell in row["cells"].values())
    for path in (folder / "tables").iterdir():
        with path.open(newline="") as stream:
            assert not [name for name in next(csv.reader(stream)) if name.startswith("study")]


def test_its_measured_numbers_are_those_beside_the_study(
    own: list[ReportInputs], folder: Path
) -> None:
    """Only the study's own columns go."""
    results = json.loads((folder / "results.json").read_text())["tables"]
    evaluation = next(e for e in own[0].evaluations if e.classifier == "svm")
    score = evaluation.score("report")
    (row,) = [
        row
        for row in results["8"]["rows"]
        if row["group"] == "MobileNet" and row["cells"]["classifier"]["value"] == "svm"
    ]
    assert score
    assert row["cells"]["ours"]["value"] == score.accuracy


def test_its_ensemble_of_the_same_five_members_is_one_among_others(
    own: list[ReportInputs],
) -> None:
    tables = [table for part in all_tables(own[0]).values() for table in part]
    assert "5" not in [table.number for table in tables]
    assert "Ensemble Mk-2 to Mk-6: members, average, stacking" in [t.title for t in tables]


def test_is_titled_by_its_classes(real_study: ReportInputs, own: list[ReportInputs]) -> None:
    assert title(own[0]) == "Image classification: no, yes, maybe"
    assert title(real_study).startswith("Flowers-17")
    many = ReportInputs(own[0].artifacts, [], own[0].settings)
    many.__dict__["items"] = {**own[0].items, "class_names": list("abcdef")}
    assert title(many) == "Image classification: a, b, c and 3 more classes"


def test_its_page_is_titled_by_its_classes(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "<title>Image classification: no, yes, maybe</title>" in page
    assert "<h1>Image classification: no, yes, maybe</h1>" in page


def test_untrained_weights_are_still_told(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path / "study", random=True, missing_trainings={}, **OWN)
    write_report(inputs, tmp_path / "report")
    words = _words(tmp_path / "report")
    assert "Untrained weights. In this run the extractors’ weights are random" in words
    assert "Not a comparison" not in words


def test_a_heading_that_one_column_is_left_with_is_its_title() -> None:
    columns = (
        Column("study_layers", "study", "d", "Layers", of_study=True),
        Column("layers", "ours", "d", "Layers", reference="study_layers"),
        Column("low", "low", group="Ends"),
        Column("high", "high", group="Ends"),
    )
    own = without_study(columns)
    assert [(c.key, c.title, c.group) for c in own] == [
        ("layers", "Layers", ""),
        ("low", "low", "Ends"),
        ("high", "high", "Ends"),
    ]
    record = Record({"study_layers": 1, "layers": 2})
    assert [column.cell(record).reference for column in (columns[1], own[0])] == [1, None]
    assert own[0].cell(record).text == "2"
    given_whole = Record({"layers": Cell("2", 2, reference=1)})
    assert own[0].cell(given_whole) == Cell("2", 2)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/home/me/17 flowers", "Image classification: own images"),
        ("photos.zip", "Image classification: own images"),
        ("rendered", "Flowers-17: small‑data image classification"),
        ("oxford17", "Flowers-17: small‑data image classification"),
    ],
)
def test_without_images_its_title_is_that_of_the_data_asked_for(
    source: str, expected: str, tmp_path: Path
) -> None:
    failed = absent_stage("data", "images", "images@128", "images@128 failed")
    settings = StudySettings.model_validate({"dataset": {"source": source}})
    inputs = ReportInputs({}, [failed], settings.model_dump(mode="json"))
    assert title(inputs) == expected
    write_report(inputs, tmp_path)
    words = _words(tmp_path)
    assert bool(FOREIGN.search(words)) == expected.startswith("Flowers")
    assert "home/me" not in (tmp_path / "index.html").read_text()
