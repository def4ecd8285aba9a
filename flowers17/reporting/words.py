"""The words of tables and figures, from `words/*.yaml`: titles, leads, notes and captions.

A text there is a Jinja template. What it is rendered with comes from the caller; a note that is
empty then is left out, and a blank line parts two notes. A note under `study` is one
on the study's numbers, which a report on other data does without.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, Template

from flowers17.reporting import wording
from flowers17.reporting.html import environment
from flowers17.reporting.reference import title_of
from flowers17.reporting.tables import Column, Record, StudyNote, Table


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    """What is written of each table and figure, by its kind and name."""
    files = sorted((Path(__file__).parent / "words").glob("*.yaml"))
    return {
        name: entry
        for file in files
        for name, entry in yaml.safe_load(file.read_text("utf-8")).items()
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


def _notes(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    for entry in _entries()[name].get("notes", ()):
        of_study = not isinstance(entry, str)
        rendered = _template(entry["study"] if of_study else entry).render(values)
        for note in filter(None, map(_on_one_line, rendered.split("\n\n"))):
            yield StudyNote(note) if of_study else note


def worded_table(
    name: str,
    columns: Sequence[Column[Any]],
    records: Sequence[Record],
    *,
    number: str = "",
    longest: int = 200,
    **values: Any,
) -> Table:
    """A table with the words of its name, its number unless another is given.

    longest: as of a Table. values: what its texts are rendered with, besides the records.
    """
    values["records"] = records
    entry = f"table {name}"
    title, lead, empty = (text(entry, part, **values) for part in ("title", "lead", "empty"))
    notes = tuple(_notes(entry, values))
    return Table(number or name, title, columns, records, lead, notes, longest, empty)
