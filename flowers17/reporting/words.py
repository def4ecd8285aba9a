"""The words of tables and figures, from `words/*.yaml`: titles, columns, leads, notes, captions.

A text there is a Jinja template. What it is rendered with comes from the caller; a note that is
empty then is left out, and a blank line parts two notes. A note under `study` is one
on the study's numbers, which a report on other data does without. Under `columns` stand the fields
of `columns.Column`, in the order of the table.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template

from flowers17.files import yaml_beside
from flowers17.reporting import wording
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.html import environment
from flowers17.reporting.reference import title_of
from flowers17.reporting.tables import StudyNote, Table


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    """What is written of each table and figure, by its kind and name."""
    files = sorted((Path(__file__).parent / "words").glob("*.yaml"))
    return {
        name: entry
        for file in files
        for name, entry in yaml_beside(__file__, f"words/{file.name}").items()
    }


@cache
def _templates() -> Environment:
    templates = environment().overlay(autoescape=False)
    phrases = (
        *(wording.capital, wording.counted, wording.interval_text, wording.p_text, wording.points),
        *(wording.signed, wording.thousands),
    )
    templates.filters.update({function.__name__: function for function in phrases})
    templates.globals["title_of"] = title_of
    templates.globals["shared"] = templates.get_template("shared.txt").module
    return templates


@cache
def _template(text: str) -> Template:
    return _templates().from_string(text)


def text(name: str, part: str, **values: Any) -> str:
    """A text of a table or figure, such as the `title` of `table 8b`; empty if it has none."""
    rendered = _template(_entries()[name].get(part, "")).render(values)
    return _on_one_line(rendered)


def _on_one_line(rendered: str) -> str:
    return re.sub(r"[ \n]+", " ", rendered).strip()


def notes_of(name: str, **values: Any) -> Iterator[str]:
    """Yield the notes of a table, such as `table 8b`."""
    for entry in _entries()[name].get("notes", ()):
        of_study = not isinstance(entry, str)
        rendered = _template(entry["study"] if of_study else entry).render(values)
        for note in filter(None, map(_on_one_line, rendered.split("\n\n"))):
            yield StudyNote(note) if of_study else note


def columns_of(name: str) -> list[Column]:
    """The columns of a table, such as `table 8b`; a list among them stands for its columns."""
    entries = _entries()[name].get("columns", ())
    groups = [entry if isinstance(entry, list) else [entry] for entry in entries]
    return [Column(**column) for group in groups for column in group]


def worded_table(
    name: str,
    records: Sequence[Record],
    *,
    number: str = "",
    columns: Sequence[Column] = (),
    longest: int = 200,
    **values: Any,
) -> Table:
    """A table with the words and columns of its name, its number unless another is given.

    columns: further ones. longest: as of a Table. values: what its texts are rendered with.
    """
    entry = f"table {name}"
    title, lead, empty = (text(entry, part, **values) for part in ("title", "lead", "empty"))
    shown = [
        column
        for column in (*columns_of(entry), *columns)
        if not column.optional or any(column.key in record.values for record in records)
    ]
    notes = tuple(notes_of(entry, **values))
    return Table(number or name, title, shown, records, lead, notes, longest, empty)
