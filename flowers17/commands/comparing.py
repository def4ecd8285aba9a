"""How the terminal shows the comparison of two studies."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from flowers17.reporting.studies.pair import (
    difference_lines,
    difference_text,
    few,
    number_text,
)
from flowers17.reporting.wording import p_text


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
