"""A table of the report: rows of typed cells, as JSON, as a frame and as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from flowers17.reporting.cells import EMPTY, Cell
from flowers17.reporting.columns import Column, Record

TABLE_SHOWN = 20


class StudyNote(str):
    """A sentence on the study's numbers, which a report on other data does without."""


@dataclass(frozen=True)
class Row:
    """A record as it is written: a cell for each column, the first its heading."""

    cells: tuple[Cell, ...]
    group: str = ""
    tag: str = ""
    missing: str = ""

    def to_json(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Its marks and cells, by key; not the reason why it is missing, which may name a path."""
        cells = {
            column.key: cell.to_json() for column, cell in zip(columns, self.cells, strict=True)
        }
        marks = {"group": self.group, "note": self.tag, "missing": bool(self.missing)}
        return {**{name: mark for name, mark in marks.items() if mark}, "cells": cells}


@dataclass(frozen=True)
class Table:
    """A numbered table: records, and columns that know their cells.

    number: as readers refer to it, e.g. `8b`. lead: what it shows; notes: how to read it. longest:
    most rows of which the page shows all; of a longer table it shows the first TABLE_SHOWN. empty:
    what it says without any row.
    """

    number: str
    title: str
    columns: Sequence[Column]
    records: Sequence[Record]
    lead: str = ""
    notes: tuple[str, ...] = ()
    longest: int = 200
    empty: str = ""

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The records as rows of cells."""
        return tuple(
            Row(
                tuple(column.cell(record) for column in self.columns),
                record.group,
                record.tag,
                record.missing,
            )
            for record in self.records
        )

    def to_json(self) -> dict[str, Any]:
        """Title, columns with their headings, and rows, as `results.json` holds them."""
        columns = [
            [column.key, ": ".join(filter(None, (column.group, column.heading)))]
            for column in self.columns
        ]
        rows = [row.to_json(self.columns) for row in self.rows]
        return {"title": self.title, "columns": columns, "rows": rows}

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as `frame_of` returns them, for every column and with reasons in the notes."""
        names = ["group"] if any(row.group for row in self.rows) else []
        for column in self.columns:
            names.append(column.key)
            names += [f"{column.key}_low", f"{column.key}_high"] if column.interval else []
        notes = ["; ".join(filter(None, (row.tag, row.missing))) for row in self.rows]
        return frame_of(self.to_json()["rows"], [*names, "note", "artifact"], notes)

    @property
    def timeless(self) -> "Table":
        """The table without columns of times."""
        return replace(self, columns=[column for column in self.columns if not column.of_machine])

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


def frame_of(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], notes: Sequence[str | None]
) -> pd.DataFrame:
    """Rows of `results.json` as a frame of values, unrounded; None where there is none.

    An interval is in KEY_low and KEY_high; the artifacts of a row in `artifact`, as STAGE/KEY.
    The type is object, so that whole numbers stay whole beside gaps.
    """
    lines = []
    for row, note in zip(rows, notes, strict=True):
        line, used = {"group": row.get("group"), "note": note or None}, set()
        for key, cell in row["cells"].items():
            line[key] = None if cell["value"] == EMPTY.text else cell["value"]
            line[f"{key}_low"], line[f"{key}_high"] = cell.get("interval", (None, None))
            if artifact := cell.get("artifact"):
                used.add(f"{artifact['stage']}/{artifact['key']}")
        lines.append({**line, "artifact": " ".join(sorted(used)) or None})
    return pd.DataFrame(lines, columns=list(columns), dtype=object)


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV; text that a spreadsheet would take for a formula follows an apostrophe."""
    rows = [list(map(_guarded, row)) for row in frame.to_numpy(object)]
    guarded = pd.DataFrame(rows, columns=frame.columns, dtype=object)
    return str(guarded.to_csv(index=False, lineterminator="\n"))


FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def unguarded(text: str) -> str:
    """Text as it was before `csv_text` wrote it."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULAS) else text
