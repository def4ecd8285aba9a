"""How the terminal shows the comparison of two studies: by the template `comparison.txt`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flowers17.errors import Flowers17Error
from flowers17.reporting.studies import pair
from flowers17.reporting.studies.pair import difference_lines, difference_text, few, number_text
from flowers17.reporting.studies.records import Study, named_study
from flowers17.reporting.wording import p_text
from flowers17.terminal import Terminal

Row = tuple[str, Sequence[str]]  # a title, and cells


def study_pair(before: str | None, after: str | None, store: str) -> tuple[Study, Study]:
    """Two studies to compare, as `pair.study_pair`; of two wrong names the error tells both."""
    problems = []
    for name in filter(None, (before, after)):
        try:
            named_study(name, store)
        except Flowers17Error as problem:
            problems.append(problem)
    if len(problems) > 1:
        raise type(problems[0])("\n".join(map(str, problems)))
    return pair.study_pair(before, after, store)


def show(comparison: dict[str, Any], out: Terminal, *, everything: bool = False) -> None:
    """Print a comparison, as `comparison_of` returns it.

    everything: show rows with equal numbers, too, instead of only counting them.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters |= {"difference_lines": difference_lines, "few": few}
    text = templates.get_template("comparison.txt").render(
        comparison=comparison,
        everything=everything,
        columns=_columns,
        metrics_of=_metrics_of,
        tests=[(test["label"], _test_cells(test)) for test in comparison["paired"]["tests"]],
    )
    for line in text.rstrip("\n").split("\n"):
        out.text_line(line.rstrip())


def _metrics_of(table: Mapping[str, Any], rows: Sequence[str]) -> list[Row]:
    return [
        (
            metric["row"],
            (
                metric["name"],
                *(number_text(metric[when]) for when in ("before", "after")),
                difference_text(metric["difference"]),
            ),
        )
        for metric in table["metrics"]
        if metric["row"] in rows
    ]


def _test_cells(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    test = comparison["test"]
    return (
        comparison["split"],
        str(comparison["n_validation"]),
        *(number_text(comparison[when]) for when in ("before", "after")),
        *(str(test[name]) for name in ("n_only_first", "n_only_second")),
        p_text(test["p_value"]),
        p_text(comparison["p_holm"]),
    )


def _columns(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """Cells in columns under what they are of, each title once; nothing without rows."""
    cells = [heads, *(row[1] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines, last = [], ""
    for title, (first, *others) in zip(["", *(row[0] for row in rows)], cells, strict=False):
        if title != last:
            lines.append(f"  {title}")
        numbers = "".join(
            f"  {cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)
        )
        lines.append(f"    {first:{widths[0]}}{numbers}")
        last = title
    return "".join(f"{line}\n" for line in lines)
