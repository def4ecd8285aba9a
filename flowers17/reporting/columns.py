"""Rows and columns of tables: records of values, and columns that know their cell of a record."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from flowers17.artifacts import Reference
from flowers17.reporting.cells import EMPTY, Cell, score_cell, value_cell
from flowers17.reporting.metrics import MeanSpread, Measured
from flowers17.reporting.records import Score
from flowers17.reporting.wording import p_text

_FORMS = {"p": p_text}


@dataclass(frozen=True)
class Record:
    """What one row shows.

    values: by the keys of the columns; each a number, words, a score with its interval, or a whole
    cell. group: a heading shared with the rows around it. tag: a warning that belongs to every
    number of the row. missing: why the row has no numbers. source: the artifact that they come
    from.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    _: KW_ONLY
    group: str = ""
    tag: str = ""
    missing: str = ""
    source: Reference | None = None


@dataclass(frozen=True)
class Column:
    """A column: its key in files, its title and unit, and how its cell comes from a record.

    form: `text` for words, `result` for words that come from the record's source, `p` for p-values,
    else the format of numbers. group: a heading shared with neighbours. interval: whether its cells
    have one, which the CSV then gives two columns. reference: key of the study's number that ours
    is set against. linked: whether numbers lead to the record's source. optional: whether a table
    whose records lack it does without. of_study: whether it shows the study's numbers, or sets ours
    against them; beside_study: whether a cell may have a reference. of_machine: whether it shows
    times, which differ from run to run: the page has them, and no file that is compared.
    """

    key: str
    title: str
    form: str = ".3f"
    group: str = ""
    unit: str = ""
    interval: bool = False
    reference: str = ""
    linked: bool = True
    optional: bool = False
    of_study: bool = False
    beside_study: bool = True
    of_machine: bool = False

    @property
    def heading(self) -> str:
        """Its title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def numeric(self) -> bool:
        """Whether it is of numbers rather than words."""
        return self.form not in ("text", "result")

    def cell(self, record: Record) -> Cell:
        """Cell of a record; EMPTY where the record has nothing to show."""
        value, reference = record.values.get(self.key), record.values.get(self.reference)
        form = _FORMS.get(self.form, self.form)
        source = record.source if self.linked and self.form != "text" else None
        if value is None:
            return EMPTY
        if isinstance(value, Cell):
            cell = value
        elif isinstance(value, Score | MeanSpread | Measured):
            cell = score_cell(value, reference, source, form)
        else:
            cell = value_cell(value, form, reference=reference, source=source)
        return cell if self.beside_study else replace(cell, reference=None)


def without_study(columns: Sequence[Column]) -> list[Column]:
    """The columns as they are where no study is compared with.

    The heading that a single column is left with becomes its title.
    """
    own = [replace(column, beside_study=False) for column in columns if not column.of_study]
    n_own = Counter(column.group for column in own)
    compared = {column.group for column in columns if column.of_study and column.group}
    return [
        replace(column, title=column.group, group="")
        if column.group in compared and n_own[column.group] == 1
        else column
        for column in own
    ]
