"""One metric over all studies of a store, as a table in the terminal."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from flowers17.reporting.studies.pair import difference_text, number_text


def listed(rows: list[dict[str, Any]]) -> Table:
    """Table of the rows that `history` or `metrics` returns."""
    table = Table()
    forms = {"value": number_text, "newest": number_text, "difference": difference_text}
    names = [name for name in (rows or [{}])[0] if name != "results"]
    for name in names:
        title = "changed since the one before of its label" if name == "changed" else name
        table.add_column(title, justify="right" if name in (*forms, "studies") else "left")
    for row in rows:
        table.add_row(*(escape(forms.get(name, str)(row[name])) for name in names))
    return table
