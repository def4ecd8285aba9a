"""Tables C6 to C8: defences and poisoning, each number the one counted by hand."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.reporting.attacks.defences import defence_tables, poisoning_tables
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.tables import Table, csv_text

from .made_study import tiny_study
from .maker import Maker

N = 12


def _run(view: str, epsilon: float, n_withstood: int, n_refused: int = 0) -> dict[str, Any]:
    counts = {"n_withstood": n_withstood, "n_refused": n_refused}
    return {"view": view, "attack": "pgd", "epsilon": epsilon, **counts}


def _worst(epsilon: float, n_withstood: int, n_unaware: int | None) -> dict[str, Any]:
    counts = {"n_withstood": n_withstood, "n_withstood_unaware": n_unaware}
    return {"epsilon": epsilon, **counts}


DEFENCES = [
    {
        "name": "none",
        "kind": "none",
        "n": N,
        "n_right": 9,
        "worst": [_worst(1.0, 3, None), _worst(8.0, 0, None)],
        "runs": [_run("itself", 1.0, 3), _run("itself", 8.0, 0)],
    },
    {
        "name": "median 3",
        "kind": "filter",
        "n": N,
        "n_right": 6,
        "worst": [_worst(1.0, 5, 6), _worst(8.0, 1, 2)],
        "runs": [
            _run("itself", 1.0, 6),
            _run("itself", 8.0, 2),
            _run("through the filter", 1.0, 5),
            _run("through the filter", 8.0, 1),
        ],
    },
    {
        "name": "detector of 4",
        "kind": "detector",
        "n": N,
        "n_right": 8,
        "n_refused": 1,
        "worst": [_worst(1.0, 4, 7), _worst(8.0, 4, 7)],
        "runs": [_run("both together", 1.0, 4, 2), _run("both together", 8.0, 4)],
    },
    {
        "name": "control",
        "kind": "control",
        "n": N,
        "n_right": 12,
        "worst": [_worst(1.0, 2, 3), _worst(8.0, 0, 1)],
        "runs": [_run("itself", 1.0, 2), _run("itself", 8.0, 0)],
    },
    {
        "name": "pgd 8",
        "kind": "adversarial training",
        "n": N,
        "n_right": 10,
        "worst": [_worst(1.0, 10, 10), _worst(8.0, 9, 10)],
        "runs": [_run("itself", 1.0, 10), _run("itself", 8.0, 9)],
    },
]
POISONINGS = {
    "split": "clean",
    "target": "tulip",
    "clean": [
        {"network": "average", "n": N, "n_right": 9},
        {"network": "mk-2", "n": N, "n_right": 8},
    ],
    "poisonings": [
        {
            "kind": "patch",
            "share": share,
            "n_poisoned": n_poisoned,
            "networks": [
                {"network": "average", "n": N, "n_right": 7, "n_others": 8, "n_opened": n_opened}
            ],
        }
        for share, n_poisoned, n_opened in ((0.0, 0, 1), (0.1, 3, 6))
    ],
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    root = tmp_path_factory.mktemp("defended")
    study, maker = tiny_study(root / "study"), Maker(root / "defences")
    result = {"network": "mk-2", "defences": DEFENCES}
    # The first images are right, and the first of these withstand.
    arrays = {"labels": np.arange(N)}
    for number, defence in enumerate(DEFENCES):
        arrays[f"{number:02d}-before"] = np.where(
            np.arange(N) < defence["n_right"], np.arange(N), -1
        )
        n_withstood = np.array([run["n_withstood"] for run in defence["runs"]])
        arrays[f"{number:02d}-withstood"] = np.arange(N)[:, None] < n_withstood
    maker.publish("defences", "defences of mk-2, clean split", {}, arrays, {"result": result})
    maker.publish("poisoning", "poisoning, clean split", {}, {}, {"result": POISONINGS})
    inputs = replace(study, artifacts={**study.artifacts, **maker.artifacts})
    return {table.number: table for table in (*defence_tables(inputs), *poisoning_tables(inputs))}


def _texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_defences_have_a_clean_accuracy_and_what_is_left_at_each_budget(
    tables: dict[str, Table],
) -> None:
    headings = [column.title for column in tables["C6"].columns]
    assert headings[:3] == ["Defence", "Clean accuracy", "Clean images refused"]
    assert headings[3:] == ["Defence unknown", "Defence known"] * 2
    assert _texts(tables["C6"]) == [
        ["none", "0.750", "–", "–", "0.250", "–", "0.000"],
        ["median, 3 × 3", "0.500", "–", "0.500", "0.417", "0.167", "0.083"],
        ["detector of 4", "0.667", "0.083", "0.583", "0.333", "0.583", "0.333"],
        ["none, trained anew", "1.000", "–", "0.250", "0.167", "0.083", "0.000"],
        ["trained on PGD, 8/255", "0.833", "–", "0.833", "0.833", "0.833", "0.750"],
    ]
    assert {row.group for row in tables["C6"].rows} == {"Mk-2"}


def test_each_attack_on_a_defence_has_its_row_and_only_detectors_refuse(
    tables: dict[str, Table],
) -> None:
    assert _texts(tables["C7"]) == [
        ["itself", "PGD", "0.250", "0.000", "–", "–"],
        ["itself", "PGD", "0.500", "0.167", "–", "–"],
        ["through the filter", "PGD", "0.417", "0.083", "–", "–"],
        ["both together", "PGD", "0.333", "0.333", "0.167", "0.000"],
        ["itself", "PGD", "0.167", "0.000", "–", "–"],
        ["itself", "PGD", "0.833", "0.750", "–", "–"],
    ]
    groups = [row.group for row in tables["C7"].rows]
    assert groups[:4] == ["Mk-2: none", *["Mk-2: median, 3 × 3"] * 2, "Mk-2: detector of 4"]


def test_each_defence_is_compared_with_what_it_began_from_and_the_best_with_the_others(
    tables: dict[str, Table],
) -> None:
    none, median, detector, control, trained = (row[0] for row in _texts(tables["C6"]))
    pairs = [
        *((median, none), (detector, none), (control, none), (trained, control)),
        *((trained, median), (trained, detector)),
    ]
    texts, groups = _texts(tables["C6-paired"]), [row.group for row in tables["C6-paired"].rows]
    assert [tuple(row[:2]) for row in texts] == pairs * 3
    ways = ["clean images", "at 1/255", "at 8/255"]
    assert groups == [f"Mk-2: {way}" for way in ways for _ in pairs]
    # Clean: 10 and 12 right. At 8/255 nine withstand, of the control none: p = 2 / 2**9.
    assert [row[2:5] for row in (texts[3], texts[15])] == [
        ["−0.167", "0", "2"],
        ["+0.750", "9", "0"],
    ]
    assert texts[15][5] == "0.004"
    assert [row[7] for row in texts].count("is real") == 0  # of 18 tests, the least 0.0039 × 18


def test_with_more_images_the_same_differences_are_real(tmp_path: Path) -> None:
    study, maker = tiny_study(tmp_path / "study"), Maker(tmp_path / "defences")
    labels = np.zeros(40, np.int64)
    kinds = ["none", "control", "adversarial training"]
    defences = [DEFENCES[0] | {"kind": kind, "n": 40, "runs": []} for kind in kinds]
    for defence, n_withstood in zip(defences, (0, 10, 40), strict=True):
        defence["worst"] = [_worst(1.0, n_withstood, None)]
        defence["runs"] = [_run("itself", 1.0, n_withstood)]
    arrays = {"labels": labels}
    for number, n_withstood in enumerate((0, 10, 40)):
        arrays[f"{number:02d}-before"] = labels
        arrays[f"{number:02d}-withstood"] = np.arange(40)[:, None] < n_withstood
    result = {"network": "mk-2", "defences": defences}
    maker.publish("defences", "defences of mk-2, clean split", {}, arrays, {"result": result})
    _, paired, _ = defence_tables(replace(study, artifacts={**study.artifacts, **maker.artifacts}))
    verdicts = [row[7] for row in _texts(paired)]
    assert verdicts == ["may be chance", "may be chance", "is real", "is real"]
    assert paired.lead.startswith("Of 4 differences 2 are more than chance")


def test_files_have_the_interval_of_every_share_that_has_one(tables: dict[str, Table]) -> None:
    [detector] = [
        row for row in csv.DictReader(io.StringIO(csv_text(tables["C7"].frame))) if row["refused_1"]
    ]
    ends = float(detector["refused_1_low"]), float(detector["refused_1_high"])
    assert ends == accuracy_interval(2, N)
    for table in tables.values():
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                assert column.interval or not cell.interval, (table.number, column.key)


def test_poisonings_stand_below_the_network_that_they_poisoned(tables: dict[str, Table]) -> None:
    table = tables["C8"]
    assert table.columns[-1].title == "Patch taken for tulip"
    assert [row.group for row in table.rows] == ["Average"] * 3 + ["Mk-2"]
    assert _texts(table) == [
        ["none", "0 %", "–", "0.750", "–"],
        ["none, trained anew", "0 %", "0", "0.583", "0.125"],
        ["patch", "10 %", "3", "0.583", "0.750"],
        ["none", "0 %", "–", "0.667", "–"],
    ]
