"""Columns that take a record to its cell, and the comparisons that several tables share."""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pytest

from flowers17.artifacts import Reference
from flowers17.reporting.best import best_classifiers
from flowers17.reporting.columns import (
    compared_columns,
    mean_columns,
    number_column,
    score_column,
    text_column,
    verdict_column,
)
from flowers17.reporting.html import environment
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, accuracy_interval, holm, mcnemar
from flowers17.reporting.paired_comparisons import (
    PairedRecord,
    comparison_columns,
    mean_over_splits,
    paired_comparisons,
)
from flowers17.reporting.records import Score
from flowers17.reporting.tables import EMPTY, Column, Record, Table, csv_text

SOURCE = Reference("training", "ab" * 32, "cd" * 32)


@dataclass(frozen=True)
class NetworkRecord(Record):
    name: str
    score: Score | None = None
    mean: MeanSpread | None = None
    reference: float | None = None


COLUMNS: tuple[Column[NetworkRecord], ...] = (
    text_column("network", "Network", lambda r: r.name.upper(), lambda r: r.name),
    *compared_columns(
        "n_train", "Training images", lambda r: 1020, lambda r: r.score and r.score.n_train, "d"
    ),
    score_column("accuracy", "Accuracy", lambda r: r.score, lambda r: r.reference),
    verdict_column(lambda r: r.score, lambda r: r.reference, lambda r: True),
    *mean_columns(lambda r: r.mean),
    number_column("size", "Size", lambda r: 128, "d", linked=False, unit="pixels"),
)
TRAINED = NetworkRecord(
    "mk-2",
    Score("report", "report", 1020, 340, 321, {}),
    MeanSpread(1, 0.9, None, None),
    0.944,
    group="Networks",
    tag="5 epochs",
    source=SOURCE,
)
MISSING = NetworkRecord("mk-3", reference=0.7, group="Networks", missing="no weights")
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
    assert [c.reading for c in comparisons] == ["not shown to be better than", "not better than"]
    mean = mean_over_splits(comparisons, n_train=[30, 20])
    assert mean is not None
    assert (mean.n_splits, mean.mean) == (2, pytest.approx(0.3))
    assert mean_over_splits(comparisons[:1], n_train=[30]) is None


def test_a_mean_difference_has_an_interval_and_no_test() -> None:
    columns = comparison_columns(first=("only_first", "First alone right"), interval=True)
    first, second = np.array([True] * 4), np.array([True, False, False, True])
    (comparison,) = paired_comparisons([(first, second)])
    mean = mean_over_splits([comparison, comparison], n_train=[20, 20])
    records = (PairedRecord("clean", comparison=comparison), PairedRecord("mean", mean=mean))
    on_split, over = Table("9y", "", columns, records).rows
    assert [cell.text for cell in on_split.cells] == ["+0.500", "2", "0.500", "0.500"]
    assert over.cells[0].interval is not None
    assert over.cells[1:] == (EMPTY, EMPTY, EMPTY)


def test_best_classifiers_are_of_one_split_and_over_clean_splits(real_study: ReportInputs) -> None:
    part = best_classifiers(real_study)
    assert part.on_one_split
    assert part.over_clean
    assert part.overall is part.over_clean
    assert part.on_one_split.where == "report’s split"
    assert part.over_clean.where == "mean over 3 clean splits"
    assert part.on_one_split.title == "logistic regression on MobileNet"
    assert part.on_one_split.interval
