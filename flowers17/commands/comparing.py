"""Two studies compared: which are meant, all that is shown of them, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import read_as_written
from flowers17.commands.changes import changes
from flowers17.errors import ArtifactMissing
from flowers17.reporting.studies.records import Study, named_study, newest, studies_in


def chosen(before: str | None, after: str | None, store: Path | str) -> tuple[Study, Study]:
    """Return the two studies that are meant: as they are named, else the older first.

    Without `after`: `before` and the store's newest other one of its label; without both: the
    newest and the one before it with its label.
    Raises as `named_study`; ArtifactMissing if there is no second one.
    """
    if before and after:
        return named_study(before, store), named_study(after, store)
    studies = studies_in(store)
    first = named_study(before, store) if before else newest(studies, store)
    label = first.label or None
    others = [one for one in studies if one.path != first.path and label in (None, one.label)]
    if not others:
        raise ArtifactMissing(
            f"{store}: expected another study {first.label!r} to compare {first.title} with, found "
            "none; name a second one, or the folder of another store"
        )
    if before is None or (others[-1].created, others[-1].path) < (first.created, first.path):
        return others[-1], first
    return first, others[-1]


def compared(before: Study, after: Study) -> dict[str, Any]:
    """Return all that is shown of two studies, as plain JSON.

    Raises what `Study.results` and `compared_models` raise.
    """
    from flowers17.reporting.studies.comparison import compared_tables
    from flowers17.reporting.studies.paired import compared_models

    with read_as_written(f"{before.title}, {after.title}"):
        tables = compared_tables(before.results, after.results)
        paired = compared_models(before, after)
        differences = asdict(changes(before, after))
    return {
        "before": described(before),
        "after": described(after),
        "differences": differences,
        "tables": [
            {
                **asdict(table),
                "metrics": [{**asdict(one), "difference": one.difference} for one in table.metrics],
            }
            for table in tables
        ],
        "paired": paired.to_json(),
    }


def described(study: Study) -> dict[str, str]:
    return {
        "study": study.title,
        "label": study.label,
        "created": study.created,
        "results": str(study.path),
    }


def show(found: dict[str, Any], out: Console, *, everything: bool = False) -> None:
    """Print what `compared` returns; rows with equal numbers are only counted, or shown too."""
    for when in ("before", "after"):
        one = found[when]
        said = "  ".join(part for part in (one["study"], one["label"], one["created"]) if part)
        _say(out, f"{when:7}{said}  {one['results'] if one['label'] else ''}".rstrip())
    _say(out, "")
    _show_differences(found["differences"], out)
    _say(out, "")
    for table in found["tables"]:
        _show_table(table, out, everything=everything)
    _say(out, "")
    _show_paired(found["paired"], out)


def differing(found: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return in what two studies may differ, and the lines that say in what they do."""
    titles = {
        "settings": "settings",
        "data": "data",
        "code": "code",
        "libraries": "library versions",
        "seeds": "seeds",
        "stages": "settings of stages",
    }
    return [
        (title, _by_stages(found[name]) if isinstance(found[name], dict) else list(found[name]))
        for name, title in titles.items()
    ]


def _show_differences(found: dict[str, Any], out: Console) -> None:
    for title, lines in differing(found):
        _say(out, f"{title}: {'these differ' if lines else 'no difference'}")
        for line in lines:
            _say(out, f"  {line}")
    for name, title in (("only_before", "only before"), ("only_after", "only after")):
        if found[name]:
            _say(out, f"stages {title}{few(found[name])}")
    for note in found["notes"]:
        _say(out, note)


def _by_stages(lines: dict[str, list[str]]) -> list[str]:
    """Return the lines that were found in the same stages as one, with those stages."""
    found: dict[tuple[str, ...], list[str]] = {}
    for line, stages in lines.items():
        found.setdefault(tuple(stages), []).append(line)
    return [f"{', '.join(some)}{few(stages)}" for stages, some in found.items()]


def few(labels: Sequence[str]) -> str:
    """Return up to three labels in brackets, and how many more there are."""
    if not labels:
        return ""
    more = f"; and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f" ({'; '.join(labels[:3])}{more})"


def _show_table(found: dict[str, Any], out: Console, *, everything: bool) -> None:
    rows = {one["row"] for one in found["metrics"]}
    changed = {one["row"] for one in found["metrics"] if one["difference"] != 0}
    shown = [one for one in found["metrics"] if everything or one["row"] in changed]
    title = f"Table {found['number']}: {found['title']}"
    lone = [name for name in ("before", "after") if found[f"only_{name}"]]
    if not rows and not found["unclear"]:
        for name in lone:
            n_rows = len(found[f"only_{name}"])
            _say(out, f"{title}; only {name}, {n_rows} row{'s' * (n_rows > 1)}")
        return
    _say(out, f"{title}; {len(rows) - len(changed)} of {len(rows)} rows equal")
    if shown:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("  row", overflow="fold")
        table.add_column("metric")
        for name in ("before", "after", "difference"):
            table.add_column(name, justify="right", no_wrap=True)
        last = None
        for one in shown:
            name = "" if one["row"] == last else f"  {escape(one['row'])}"
            last, numbers = one["row"], (one["before"], one["after"])
            texts = [*map(number_text, numbers), difference_text(one["difference"])]
            table.add_row(name, escape(one["name"]), *texts)
        out.print(table, highlight=False)
    for name, what in (
        ("only_before", "only before"),
        ("only_after", "only after"),
        ("unclear", "not told apart, not compared"),
    ):
        for row in found[name]:
            _say(out, f"  {what}: {row or 'a row without words'}")


def _show_paired(found: dict[str, Any], out: Console) -> None:
    from flowers17.reporting.wording import p_text

    _say(out, "paired McNemar tests on the same validation images")
    if found["tests"]:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("  model", overflow="fold")
        table.add_column("split")
        for name in ("images", "before", "after", "only before right", "only after right"):
            table.add_column(name, justify="right")
        table.add_column("p", justify="right", no_wrap=True)
        table.add_column("p, Holm", justify="right", no_wrap=True)
        for one in found["tests"]:
            test = one["test"]
            table.add_row(
                f"  {escape(one['label'])}",
                escape(one["split"]),
                str(one["n_validation"]),
                *(number_text(one[when]) for when in ("before", "after")),
                *(str(test[name]) for name in ("n_only_first", "n_only_second")),
                p_text(test["p_value"]),
                p_text(one["p_holm"]),
            )
        out.print(table, highlight=False)
    if found["same"]:
        n_same = len(found["same"])
        _say(out, f"  {n_same} with equal content, nothing to test{few(found['same'])}")
    for line in found["untested"]:
        _say(out, f"  {line}")


def number_text(value: Any) -> str:
    """Return a number as it is shown: whole ones whole, others with four decimals.

    >>> number_text(12), number_text(0.91470588), number_text(0.00004), number_text(None)
    ('12', '0.9147', '4e-05', '–')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1e6 else f"{value:.4g}"


def difference_text(value: float | None) -> str:
    """Return a difference with its sign, as `number_text` shows numbers.

    >>> difference_text(-0.0118), difference_text(3), difference_text(0.0)
    ('−0.0118', '+3', '0')
    """
    if not value:
        return number_text(None if value is None else 0)
    return f"{'+' if value > 0 else '−'}{number_text(abs(value))}"


def _say(out: Console, line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
