"""Columns that take a record to its cell, and the comparisons that several tables share."""

import csv
import io

import numpy as np
import pytest

from flowers17.artifacts import Reference
from flowers17.reporting.best import best_classifiers
from flowers17.reporting.cells import EMPTY, Cell, mean_values, verdict_cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.html import environment
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import (
    MeanSpread,
    accuracy_interval,
    holm,
    mcnemar,
    mean_difference,
    paired_interval,
)
from flowers17.reporting.paired_comparisons import (
    comparison_values,
    paired_comparisons,
    with_mean,
)
from flowers17.reporting.records import Score
from flowers17.reporting.tables import Table, csv_text

SOURCE = Reference("training", "ab" * 32, "cd" * 32)


COLUMNS = (
    Column("network", "Network", "text"),
    Column("study_n_train", "study", "d", "Training images", linked=False, of_study=True),
    Column("n_train", "ours", "d", "Training images", reference="study_n_train"),
    Column("accuracy", "Accuracy", interval=True, reference="study"),
    Column("verdict", "Against the study", "text", of_study=True),
    Column("mean", "Mean over clean splits", interval=True),
    Column("spread", "± s.d."),
    Column("n_splits", "Splits", "d", linked=False),
    Column("size", "Size", "d", linked=False, unit="pixels"),
)
SCORE = Score("report", "report", 1020, 340, 321, {})
TRAINED = Record(
    {
        "network": Cell("MK-2", "mk-2"),
        "study_n_train": 1020,
        "n_train": 1020,
        "accuracy": SCORE,
        "study": 0.944,
        "verdict": verdict_cell(SCORE, 0.944, True),
        **mean_values(MeanSpread(1, 0.9, None, None)),
        "size": 128,
    },
    group="Networks",
    tag="5 epochs",
    source=SOURCE,
)
MISSING = Record(
    {"network": Cell("MK-3", "mk-3"), "study_n_train": 1020, "study": 0.7, "size": 128},
    group="Networks",
    missing="no weights",
)
TABLE = Table("9z", "Networks", COLUMNS, (TRAINED, MISSING))


def test_a_record_becomes_a_row_with_a_cell_for_each_column() -> None:
    row = TABLE.rows[0]
    assert [cell.text for cell in row.cells] == [
        *("MK-2", "1020", "1020", "0.944", "within", "0.900", "–", "1", "128")
    ]
    accuracy = row.cells[3]
    assert (accuracy.value, accuracy.reference) == (321 / 340, 0.944)
    assert accuracy.interval == accuracy_interval(321, 340)
    assert [cell.artifact for cell in row.cells] == [
        *(None, None, SOURCE, SOURCE, None, SOURCE, None, None, None)
    ]
    assert (row.group, row.tag, row.missing) == ("Networks", "5 epochs", "")


def test_columns_leave_empty_what_a_record_lacks() -> None:
    row = TABLE.rows[1]
    assert [cell is EMPTY for cell in row.cells] == [
        *(False, False, True, True, True, True, True, True, False)
    ]
    assert row.missing == "no weights"


def test_page_and_csv_have_the_same_columns() -> None:
    header, *lines = csv.reader(io.StringIO(csv_text(TABLE.frame)))
    keys = [column.key for column in COLUMNS]
    assert [key for key in header if key in keys] == keys
    assert lines[1][header.index("n_train")] == ""
    page = environment().get_template("parts.html").module.head(TABLE)  # type: ignore[attr-defined]
    assert "Size, pixels" in page
    assert page.count("<th ") == len(COLUMNS) + 1


def test_paired_comparisons_are_corrected_together() -> None:
    first = np.array([True] * 9 + [False])
    seconds = [np.array([False] * 8 + [True] * 2), np.array([True] * 10)]
    comparisons = paired_comparisons((first, second) for second in seconds)
    tests = [mcnemar(first, second) for second in seconds]
    assert [comparison.test for comparison in comparisons] == tests
    assert [c.p_holm for c in comparisons] == holm([test.p_value for test in tests])
    assert comparisons[0].difference == pytest.approx(0.7)
    assert [c.interval for c in comparisons] == [
        paired_interval(1, 8, 1, 10),
        paired_interval(9, 0, 1, 10),
    ]
    assert [c.reading for c in comparisons] == ["not shown to be better than", "not better than"]


def test_a_word_of_an_artifact_leads_to_it_and_a_name_does_not() -> None:
    record = Record({"name": "mk-2", "easiest": "tulip", "p": 0.0004}, source=SOURCE)
    forms = {"name": "text", "easiest": "result", "p": "p"}
    columns = [Column(key, "", form) for key, form in forms.items()]
    assert [column.numeric for column in columns] == [False, False, True]
    cells = [column.cell(record) for column in columns]
    assert [cell.text for cell in cells] == ["mk-2", "tulip", "< 0.001"]
    assert [cell.artifact for cell in cells] == [None, SOURCE, SOURCE]


def test_a_mean_difference_has_an_interval_and_no_test() -> None:
    first, second = np.array([True] * 4), np.array([True, False, False, True])
    comparisons = paired_comparisons([(first, second), (first, first)])
    scores = Score("a", "repeated", 20, 4, 4, {}), Score("a", "repeated", 20, 4, 2, {})
    values = dict(zip(("ours", "study"), scores, strict=True))
    values |= comparison_values(comparisons[0], "only_first", "only_second")
    records, mean = with_mean([Record(values)] * 2, comparisons, "ours", "study")
    assert mean is not None
    keys = ("difference", "only_first", "only_second", "p", "p_holm")
    columns = [Column(key, "", {"difference": "+.3f"}.get(key, ".3g")) for key in keys]
    on_split, _, over = Table("9y", "", columns, records).rows
    assert [cell.text for cell in on_split.cells] == ["+0.500", "2", "0", "0.5", "1"]
    assert on_split.cells[0].interval == paired_interval(2, 2, 0, 4)
    assert over.cells[0].interval == mean.interval is not None
    assert mean == mean_difference([0.5, 0.0], n_train=20, n_validation=4)
    assert over.cells[1:] == (EMPTY,) * 4
    alone = with_mean([Record(values)], comparisons[:1], "ours", "study")
    assert alone == ([Record(values)], None)


def test_best_classifiers_are_of_one_split_and_over_clean_splits(real_study: ReportInputs) -> None:
    part = best_classifiers(real_study)
    assert part.on_one_split
    assert part.over_clean
    assert part.overall is part.over_clean
    assert part.on_one_split.where == "report’s split"
    assert part.over_clean.where == "mean over 3 clean splits"
    assert part.on_one_split.title == "logistic regression on MobileNet"
    assert part.on_one_split.interval
