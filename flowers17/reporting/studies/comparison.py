"""Two studies side by side: every number of their tables, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.reporting.tables import EMPTY

Row = Mapping[str, Any]
Identity = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Metric:
    """A number of a row in both studies; None where a study lacks it."""

    row: str
    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """The number after less the one before; None if a study lacks it."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True)
class TableComparison:
    """A table of both studies, row by row.

    only_before, only_after: rows with numbers that the other study lacks; unclear: rows that share
    their words with another row, and so are not compared.
    """

    number: str
    title: str
    metrics: tuple[Metric, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    unclear: tuple[str, ...]


def compared_tables(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[TableComparison]:
    """Tables of two studies' results, joined by number and row.

    A row is identified by its group and its words, but for those that are measured or judged; the
    numbers of the reference study are left out.
    """
    numbers = list({**before["tables"], **after["tables"]})
    empty: dict[str, Any] = {"rows": []}
    return [
        _compared(number, before["tables"].get(number, empty), after["tables"].get(number, empty))
        for number in numbers
    ]


def numbers_of(results: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """Numbers of a study's tables by table, row and column, rows named as in a comparison.

    Rows that share their words with another row are left out.
    """
    return {
        (number, _words(identity), name): value
        for number, table in results["tables"].items()
        for identity, rows in _by_identity(table["rows"]).items()
        if len(rows) == 1
        for name, value in rows[0].items()
    }


def _compared(number: str, before: Row, after: Row) -> TableComparison:
    first, second = _by_identity(before["rows"]), _by_identity(after["rows"])
    rows = list({**first, **second})
    unclear = [row for row in rows if max(len(first.get(row, ())), len(second.get(row, ()))) > 1]
    clear = [row for row in rows if row not in unclear]
    return TableComparison(
        number,
        str(before.get("title") or after.get("title")),
        tuple(
            metric
            for row in clear
            if row in first and row in second
            for metric in _metrics(_words(row), first[row][0], second[row][0])
        ),
        tuple(_words(row) for row in clear if row not in second and first[row][0]),
        tuple(_words(row) for row in clear if row not in first and second[row][0]),
        tuple(map(_words, unclear)),
    )


def _by_identity(rows: Sequence[Row]) -> dict[Identity, list[dict[str, float]]]:
    """Numbers of the rows by identity; several where rows share it."""
    by_identity: dict[Identity, list[dict[str, float]]] = {}
    for row in rows:
        numbers = {
            name: cell["value"]
            for name, cell in row["cells"].items()
            if _is_number(cell["value"]) and not _of_the_reference(name)
        }
        by_identity.setdefault(_identity(row), []).append(numbers)
    return by_identity


def _identity(row: Row) -> Identity:
    words = [("group", str(row.get("group", "")))]
    for name, cell in row["cells"].items():
        is_word = isinstance(cell["value"], str) and cell["value"] != EMPTY.text
        # Words that come from an artifact are a result; so is a verdict.
        if is_word and "artifact" not in cell and name != "verdict" and not _of_the_reference(name):
            words.append((name, cell["value"]))
    return tuple(words)


def _words(identity: Identity) -> str:
    return ", ".join(word for _, word in identity if word)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_the_reference(name: str) -> bool:
    return name == "study" or name.startswith("study_")


def _metrics(row: str, before: dict[str, float], after: dict[str, float]) -> list[Metric]:
    return [Metric(row, name, before.get(name), after.get(name)) for name in {**before, **after}]
