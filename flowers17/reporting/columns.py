"""The columns that tables of several parts have: each knows its cell of a record."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flowers17.artifacts import Reference
from flowers17.reporting.cells import score_cell, spread_cell, value_cell, verdict_cell
from flowers17.reporting.metrics import MeanSpread, Measured
from flowers17.reporting.records import Score
from flowers17.reporting.tables import Cell, Column, R

Value = float | int | str | None
Form = str | Callable[[Any], str]


def _nothing(record: object) -> None:
    return None


def text_column(
    key: str,
    title: str,
    text: Callable[[R], str | None],
    value: Callable[[R], Value] = _nothing,
    *,
    group: str = "",
) -> Column[R]:
    """Column of words. value: what files hold in their place, such as the name in the settings."""

    def cell(record: R) -> Cell | None:
        words = text(record)
        return None if words is None else Cell(words, value(record))

    return Column(key, title, cell, group, numeric=False)


def number_column(
    key: str,
    title: str,
    value: Callable[[R], Value],
    form: Form = ".3f",
    *,
    reference: Callable[[R], Value] = _nothing,
    linked: bool = True,
    group: str = "",
    unit: str = "",
) -> Column[R]:
    """Column of numbers, or of words for numbers such as a shape.

    form: a format or function by which a number is written. linked: whether a cell leads to the
    record's source.
    """

    def cell(record: R) -> Cell:
        source = record.source if linked else None
        return value_cell(value(record), form, reference=reference(record), source=source)

    return Column(key, title, cell, group, unit)


def study_column(
    study: Callable[[R], Value],
    form: Form = ".3f",
    *,
    key: str = "study",
    title: str = "Study",
    group: str = "",
) -> Column[R]:
    """Column of the study's numbers."""
    column = number_column(key, title, study, form, linked=False, group=group)
    return replace(column, of_study=True)


def without_study(columns: Sequence[Column[R]]) -> list[Column[R]]:
    """The columns as they are where no study is compared with.

    The heading that a single column is left with becomes its title.
    """
    own = [_without_reference(column) for column in columns if not column.of_study]
    n_own = Counter(column.group for column in own)
    compared = {column.group for column in columns if column.of_study and column.group}
    return [
        replace(column, title=column.group, group="")
        if column.group in compared and n_own[column.group] == 1
        else column
        for column in own
    ]


def _without_reference(column: Column[R]) -> Column[R]:
    def cell(record: R) -> Cell | None:
        own = column.cell(record)
        return own if own is None or own.reference is None else replace(own, reference=None)

    return replace(column, cell=cell)


def compared_columns(
    key: str,
    title: str,
    study: Callable[[R], Value],
    measured: Callable[[R], Value],
    form: Form = ".3f",
) -> tuple[Column[R], ...]:
    """The study's number and ours, side by side under one heading."""
    return (
        study_column(study, form, key=f"study_{key}", title="study", group=title),
        number_column(key, "ours", measured, form, reference=study, group=title),
    )


def score_column(
    key: str,
    title: str,
    score: Callable[[R], Score | MeanSpread | Measured | None],
    reference: Callable[[R], float | None] = _nothing,
    form: Form = ".3f",
    *,
    group: str = "",
    linked: bool = True,
) -> Column[R]:
    """Column of accuracies, means or measures with their intervals. linked: as of numbers."""

    def cell(record: R) -> Cell:
        source = record.source if linked else None
        return score_cell(score(record), reference(record), source, form)

    return Column(key, title, cell, group, interval=True)


def mean_columns(
    mean: Callable[[R], MeanSpread | None],
    reference: Callable[[R], float | None] = _nothing,
    *,
    title: str = "Mean over clean splits",
    linked: bool = True,
) -> tuple[Column[R], ...]:
    """Mean with its interval, standard deviation and number of the repeated clean splits."""

    def source(record: R) -> Reference | None:
        return record.source if linked else None

    def count(record: R) -> int | None:
        over = mean(record)
        return over.n_splits if over else None

    return (
        score_column("mean", title, mean, reference, linked=linked),
        Column("spread", "± s.d.", lambda record: spread_cell(mean(record), source(record))),
        number_column("n_splits", "Splits", count, "d", linked=False),
    )


def verdict_column(
    score: Callable[[R], Score | MeanSpread | None],
    reference: Callable[[R], float | None],
    comparable: Callable[[R], bool],
    *,
    title: str = "Against the study",
    group: str = "",
) -> Column[R]:
    """Column of our accuracies' standing against the study's."""

    def cell(record: R) -> Cell:
        return verdict_cell(score(record), reference(record), comparable(record))

    return Column("verdict", title, cell, group, numeric=False, of_study=True)
