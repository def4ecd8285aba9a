"""Two studies side by side: every number of their tables, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Identity = tuple[tuple[str, str], ...]
NOTHING = "–"


@dataclass(frozen=True)
class Metric:
    """One number of one row in both studies; None where one has none."""

    row: str
    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """By how much it grew; None if one has no number."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True)
class TableComparison:
    """A table of both studies, row by row.

    only_before, only_after: rows with numbers that the other lacks; unclear: rows that are not
    told apart by their words, and so are not compared.
    """

    number: str
    title: str
    metrics: tuple[Metric, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    unclear: tuple[str, ...]


def compared_tables(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[TableComparison]:
    """Return the tables of two studies' results, joined by number and row.

    A row is identified by its group and its words, but for those that are measured or judged; the
    numbers of the reference study are left out.
    """
    numbers = [*before["tables"], *(one for one in after["tables"] if one not in before["tables"])]
    empty: dict[str, Any] = {"rows": []}
    return [
        _compared(number, before["tables"].get(number, empty), after["tables"].get(number, empty))
        for number in numbers
    ]


def numbers_of(results: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """Return every number of a study's tables by table, row and name, rows named as compared ones.

    Rows that are not told apart by their words are left out.
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
    every = list({**first, **second})
    unclear = [one for one in every if max(len(first.get(one, ())), len(second.get(one, ()))) > 1]
    clear = [one for one in every if one not in unclear]
    metrics: list[Metric] = []
    for one in clear:
        if one in first and one in second:
            metrics += _metrics(_words(one), first[one][0], second[one][0])
    return TableComparison(
        number,
        str(before.get("title") or after.get("title")),
        tuple(metrics),
        tuple(_words(one) for one in clear if one not in second and first[one][0]),
        tuple(_words(one) for one in clear if one not in first and second[one][0]),
        tuple(map(_words, unclear)),
    )


def _by_identity(rows: Sequence[Row]) -> dict[Identity, list[dict[str, float]]]:
    """Return the numbers of each row by what it is called; several if its name is not its own."""
    found: dict[Identity, list[dict[str, float]]] = {}
    for row in rows:
        numbers = {
            name: cell["value"]
            for name, cell in row["cells"].items()
            if _is_number(cell["value"]) and not _of_the_reference(name)
        }
        found.setdefault(_identity(row), []).append(numbers)
    return found


def _identity(row: Row) -> Identity:
    words = [("group", str(row.get("group", "")))]
    for name, cell in row["cells"].items():
        said = isinstance(cell["value"], str) and cell["value"] != NOTHING
        # What comes from an artifact is a result, though it be words; so is a verdict.
        if said and "artifact" not in cell and name != "verdict" and not _of_the_reference(name):
            words.append((name, cell["value"]))
    return tuple(words)


def _words(identity: Identity) -> str:
    return ", ".join(word for _, word in identity if word)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_the_reference(name: str) -> bool:
    return name == "study" or name.startswith("study_")


def _metrics(row: str, before: dict[str, float], after: dict[str, float]) -> list[Metric]:
    names = [*before, *(one for one in after if one not in before)]
    return [Metric(row, name, before.get(name), after.get(name)) for name in names]
