"""A table of the report: typed cells, each with its value, interval, reference and artifact."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from flowers17.artifacts import Reference
from flowers17.reporting.metrics import Interval

Verdict = Literal["within", "better", "below"]


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and the value, interval, study's number and artifact behind it."""

    text: str
    value: float | int | str | None = None
    interval: Interval | None = None
    reference: float | int | str | None = None
    artifact: Reference | None = None
    verdict: Verdict | None = None


TABLE_SHOWN = 20
EMPTY = Cell("–")


class StudyNote(str):
    """A sentence on the study's numbers, which a report on other data does without."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one row shows; a table's own records add the objects that its columns read.

    group: a heading shared with the rows around it. tag: a warning that belongs to every number
    of the row. missing: why the row has no numbers. source: the artifact that they come from.
    """

    group: str = ""
    tag: str = ""
    missing: str = ""
    source: Reference | None = None


R = TypeVar("R", bound=Record, contravariant=True)


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column: its key in files, its title and unit, and how its cell comes from a record.

    cell: the cell of a record; None where the record has nothing to show. group: a heading shared
    with neighbours. interval: whether its cells have one, which the CSV then gives two columns.
    of_study: whether it shows the study's numbers, or sets ours against them.
    """

    key: str
    title: str
    cell: Callable[[R], Cell | None]
    group: str = ""
    unit: str = ""
    numeric: bool = True
    interval: bool = False
    of_study: bool = False

    @property
    def heading(self) -> str:
        """Its title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class Row:
    """A record as it is written: a cell for each column, the first its heading."""

    cells: tuple[Cell, ...]
    group: str = ""
    tag: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Table:
    """A numbered table: records, and columns that know their cells.

    number: as readers refer to it, e.g. `8b`. lead: what it shows; notes: how to read it. longest:
    most rows of which the page shows all; of a longer table it shows the first TABLE_SHOWN.
    """

    number: str
    title: str
    columns: Sequence[Column[Any]]
    records: Sequence[Record]
    lead: str = ""
    notes: tuple[str, ...] = ()
    longest: int = 200

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The records as rows of cells."""
        return tuple(
            Row(
                tuple(column.cell(record) or EMPTY for column in self.columns),
                record.group,
                record.tag,
                record.missing,
            )
            for record in self.records
        )

    @property
    def n_shown(self) -> int:
        """How many of the first rows the page shows."""
        return len(self.records) if len(self.records) <= self.longest else TABLE_SHOWN

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"table-{self.number.lower()}"

    @property
    def file_name(self) -> str:
        """Its CSV file: `table-08b.csv` for number `8b`."""
        return f"table-{padded(self.number)}.csv"


def padded(number: str) -> str:
    """A number with two digits, for file names that sort.

    >>> padded("8b"), padded("10"), padded("D1")
    ('08b', '10', 'd1')
    """
    digits = len(number) - len(number.lstrip("0123456789"))
    return number.lower() if digits in (0, 2) else f"0{number.lower()}"


def csv_text(table: Table) -> str:
    """The table as CSV: values unrounded, intervals and artifacts in columns of their own.

    Text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    grouped = any(row.group for row in table.rows)
    header = ["group"] if grouped else []
    for column in table.columns:
        header.append(column.key)
        if column.interval:
            header += [f"{column.key}_low", f"{column.key}_high"]
    writer.writerow([*header, "note", "artifact"])
    for row in table.rows:
        line: list[object] = [_safe(row.group)] if grouped else []
        for column, cell in zip(table.columns, row.cells, strict=True):
            line.append(_csv_value(cell))
            if column.interval:
                line += list(cell.interval) if cell.interval else ["", ""]
        used = sorted({f"{ref.stage}/{ref.key}" for cell in row.cells if (ref := cell.artifact)})
        note = "; ".join(part for part in (row.tag, row.missing) if part)
        writer.writerow([*line, _safe(note), " ".join(used)])
    return stream.getvalue()


def _csv_value(cell: Cell) -> object:
    if cell is EMPTY:
        return ""
    value = cell.text if cell.value is None else cell.value
    return _safe(value) if isinstance(value, str) else value


def _safe(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
