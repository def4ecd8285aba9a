"""The comparison of two studies: which ones, its content, and how the terminal shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from flowers17.commands.changes import changes
from flowers17.errors import ArtifactMissing
from flowers17.manifests import read_as_written
from flowers17.reporting.studies.records import Study, named_study, newest, studies_in
from flowers17.reporting.wording import p_text, true_minus


def study_pair(before: str | None, after: str | None, store: Path | str) -> tuple[Study, Study]:
    """Two studies to compare: as they are named, else the older first.

    Without `after`: `before` and the store's newest other one of its label; without both: the
    newest and the one before it with its label.
    Raises as `named_study`; ArtifactMissing if there is no second one.
    """
    if before and after:
        return named_study(before, store), named_study(after, store)
    studies = studies_in(store)
    first = named_study(before, store) if before else newest(studies, store)
    label = first.label or None
    candidates = [
        study for study in studies if study.path != first.path and label in (None, study.label)
    ]
    if not candidates:
        raise ArtifactMissing(
            f"{store}: expected another study {first.label!r} to compare {first.title} with, found "
            "none; name a second one, or the folder of another store"
        )
    if before is None or (candidates[-1].created, candidates[-1].path) < (
        first.created,
        first.path,
    ):
        return candidates[-1], first
    return first, candidates[-1]


def comparison_of(before: Study, after: Study) -> dict[str, Any]:
    """Comparison of two studies as plain JSON: differences, tables and paired tests.

    Raises what `Study.results` and `compared_models` raise.
    """
    from flowers17.reporting.studies.comparison import compared_tables
    from flowers17.reporting.studies.paired import compared_models

    with read_as_written(f"{before.title}, {after.title}"):
        tables = compared_tables(before.results, after.results)
        paired = compared_models(before, after)
        differences = asdict(changes(before, after))
    return {
        "before": study_facts(before),
        "after": study_facts(after),
        "differences": differences,
        "tables": [
            {
                **asdict(table),
                "metrics": [
                    {**asdict(metric), "difference": metric.difference} for metric in table.metrics
                ],
            }
            for table in tables
        ],
        "paired": paired.to_json(),
    }


def study_facts(study: Study) -> dict[str, str]:
    return {
        "study": study.title,
        "label": study.label,
        "created": study.created,
        "results": str(study.path),
    }


def show(comparison: dict[str, Any], out: Console, *, everything: bool = False) -> None:
    """Print a comparison, as `comparison_of` returns it.

    everything: show rows with equal numbers, too, instead of only counting them.
    """
    for when in ("before", "after"):
        study = comparison[when]
        facts = [study[name] for name in ("study", "label", "created") if study[name]]
        path = study["results"] if study["label"] else ""
        _print_line(out, f"{when:7}{'  '.join(facts)}  {path}".rstrip())
    _print_line(out, "")
    _show_differences(comparison["differences"], out)
    _print_line(out, "")
    for table in comparison["tables"]:
        _show_table(table, out, everything=everything)
    _print_line(out, "")
    _show_paired(comparison["paired"], out)


def difference_lines(differences: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines on the differences of two studies by what they concern, which has a title."""
    titles = {
        "settings": "settings",
        "data": "data",
        "code": "code",
        "libraries": "library versions",
        "seeds": "seeds",
        "stages": "settings of stages",
    }
    return [
        (title, _by_stages(lines) if isinstance(lines := differences[name], dict) else list(lines))
        for name, title in titles.items()
    ]


def _show_differences(differences: dict[str, Any], out: Console) -> None:
    for title, lines in difference_lines(differences):
        _print_line(out, f"{title}: {'these differ' if lines else 'no difference'}")
        for line in lines:
            _print_line(out, f"  {line}")
    for name, title in (("only_before", "only before"), ("only_after", "only after")):
        if differences[name]:
            _print_line(out, f"stages {title}{few(differences[name])}")
    for note in differences["notes"]:
        _print_line(out, note)


def _by_stages(lines: dict[str, list[str]]) -> list[str]:
    """Lines of the same stages joined, with those stages."""
    lines_by_stages: dict[tuple[str, ...], list[str]] = {}
    for line, stages in lines.items():
        lines_by_stages.setdefault(tuple(stages), []).append(line)
    return [f"{', '.join(lines)}{few(stages)}" for stages, lines in lines_by_stages.items()]


def few(labels: Sequence[str]) -> str:
    """Up to three labels in brackets, and how many more there are."""
    if not labels:
        return ""
    more = f"; and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f" ({'; '.join(labels[:3])}{more})"


def _show_table(comparison: dict[str, Any], out: Console, *, everything: bool) -> None:
    rows = {metric["row"] for metric in comparison["metrics"]}
    changed = {metric["row"] for metric in comparison["metrics"] if metric["difference"] != 0}
    shown = [metric for metric in comparison["metrics"] if everything or metric["row"] in changed]
    title = f"Table {comparison['number']}: {comparison['title']}"
    lone = [name for name in ("before", "after") if comparison[f"only_{name}"]]
    if not rows and not comparison["unclear"]:
        for name in lone:
            n_rows = len(comparison[f"only_{name}"])
            _print_line(out, f"{title}; only {name}, {n_rows} row{'s' * (n_rows > 1)}")
        return
    _print_line(out, f"{title}; {len(rows) - len(changed)} of {len(rows)} rows equal")
    heads = ("metric", "before", "after", "difference")
    _print_numbers(out, heads, [(metric["row"], _texts(metric)) for metric in shown])
    for name, kind in (
        ("only_before", "only before"),
        ("only_after", "only after"),
        ("unclear", "not told apart, not compared"),
    ):
        for row in comparison[name]:
            _print_line(out, f"  {kind}: {row or 'a row without words'}")


def _show_paired(paired: dict[str, Any], out: Console) -> None:
    _print_line(
        out,
        "paired McNemar tests on the same validation images; only before, only after: images that "
        "this study alone has right",
    )
    heads = ("split", "images", "before", "after", "only before", "only after", "p", "p, Holm")
    rows = []
    for comparison in paired["tests"]:
        test = comparison["test"]
        numbers = (*(number_text(comparison[when]) for when in ("before", "after")),)
        counts = (str(test[name]) for name in ("n_only_first", "n_only_second"))
        values = (p_text(test["p_value"]), p_text(comparison["p_holm"]))
        cells = (comparison["split"], str(comparison["n_validation"]), *numbers, *counts, *values)
        rows.append((comparison["label"], cells))
    _print_numbers(out, heads, rows)
    if paired["same"]:
        n_same = len(paired["same"])
        _print_line(out, f"  {n_same} with equal content, nothing to test{few(paired['same'])}")
    for line in paired["untested"]:
        _print_line(out, f"  {line}")


def number_text(value: Any) -> str:
    """Text of a number: whole ones whole, others with four decimals.

    >>> number_text(12), number_text(0.91470588), number_text(0.00004), number_text(None)
    ('12', '0.9147', '4e−05', '–')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return true_minus(str(value)) if isinstance(value, int) else str(value)
    form = ".4f" if value == 0 or 0.001 <= abs(value) < 1e6 else ".4g"
    return true_minus(format(value, form))


def difference_text(value: float | None) -> str:
    """Text of a difference with its sign, as `number_text` shows numbers.

    >>> difference_text(-0.0118), difference_text(3), difference_text(0.0)
    ('−0.0118', '+3', '0')
    """
    if not value:
        return number_text(None if value is None else 0)
    return ("+" if value > 0 else "") + number_text(value)


def _texts(metric: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (number_text(metric[when]) for when in ("before", "after"))
    return metric["name"], *numbers, difference_text(metric["difference"])


def _print_numbers(
    out: Console, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]
) -> None:
    """Print cells in columns under what they are of, each title once and wrapped between words."""
    if not rows:
        return
    widths = [
        max(map(len, column)) for column in zip(heads, *(row[1] for row in rows), strict=True)
    ]
    last = None
    for title, cells in ((None, heads), *rows):
        if title != last:
            _print_line(out, f"  {title}")
            last = title
        first, *others = zip(cells, widths, strict=True)
        numbers = "".join(f"  {cell:>{width}}" for cell, width in others)
        _print_line(out, f"    {first[0]:{first[1]}}{numbers}")


def _print_line(out: Console, line: str) -> None:
    """Print a line, which a terminal wraps between words; a file gets it whole."""
    out.print(line, highlight=False, markup=False, soft_wrap=not out.is_terminal)
