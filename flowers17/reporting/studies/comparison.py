"""Two studies side by side: every number of their tables, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowers17.reporting.cells import EMPTY

Row = Mapping[str, Any]
Identity = tuple[tuple[str, str], ...]


def compared_tables(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tables of two studies' results, joined by number and row, as plain JSON.

    metrics: numbers of rows that both have, None where a study lacks one of them. only_before,
    only_after: rows with numbers that the other study lacks. unclear: rows that share their words
    with another row, and so are not compared.

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


def _compared(number: str, before: Row, after: Row) -> dict[str, Any]:
    first, second = _by_identity(before["rows"]), _by_identity(after["rows"])
    rows = list({**first, **second})
    unclear = [row for row in rows if max(len(first.get(row, ())), len(second.get(row, ()))) > 1]
    clear = [row for row in rows if row not in unclear]
    return {
        "number": number,
        "title": str(before.get("title") or after.get("title")),
        "metrics": [
            metric
            for row in clear
            if row in first and row in second
            for metric in _metrics(_words(row), first[row][0], second[row][0])
        ],
        "only_before": [_words(row) for row in clear if row not in second and first[row][0]],
        "only_after": [_words(row) for row in clear if row not in first and second[row][0]],
        "unclear": [_words(row) for row in unclear],
    }


def _by_identity(rows: Sequence[Row]) -> dict[Identity, list[dict[str, float]]]:
    """Numbers of the rows by identity; several where rows share it."""
    by_identity: dict[Identity, list[dict[str, float]]] = {}
    for row in rows:
        numbers = {
            name: cell["value"]
            for name, cell in row["cells"].items()
            if is_number(cell["value"]) and not _of_the_reference(name)
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


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number; truth is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_the_reference(name: str) -> bool:
    return name == "study" or name.startswith("study_")


def _metrics(
    row: str, before: Mapping[str, float], after: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        difference = None if old is None or new is None else new - old
        yield {"row": row, "name": name, "before": old, "after": new, "difference": difference}
