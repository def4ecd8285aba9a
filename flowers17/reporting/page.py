"""The report as one HTML page: no request to anywhere, readable on a phone and on paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flowers17.materials import flat
from flowers17.reporting import reference as published
from flowers17.reporting.absences import labels_by_reason
from flowers17.reporting.best import (
    Best,
    baseline,
    best_classifiers,
    best_ensembles,
    best_fine_tuned,
    best_networks,
    bests_by_metric,
)
from flowers17.reporting.cells import Verdict
from flowers17.reporting.figures import Figure, shortened
from flowers17.reporting.given_test_part import best_on_test
from flowers17.reporting.html import environment
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.lineage import anchor_of, lineages
from flowers17.reporting.metrics import Interval
from flowers17.reporting.records import Score
from flowers17.reporting.reference import PartName
from flowers17.reporting.tables import Row, Table
from flowers17.reporting.titles import trained_tag
from flowers17.reporting.wording import interval_text
from flowers17.reporting.words import text

TABLE_FOLD = 30


@dataclass(frozen=True)
class Highlight:
    """One number at the top of the page, with a link to where it comes from.

    measure: what the value is. detail: of what. interval: its 95 % interval, if it has one.
    metric: its name in the study's overview; split: the one that it was measured on, None for a
    mean; artifact: the model's. All three only of an accuracy.
    """

    value: str
    measure: str
    label: str
    detail: str
    anchor: str
    tag: str = ""
    interval: Interval | None = None
    metric: str = ""
    split: str | None = None
    artifact: Mapping[str, str] | None = None


def highlights(inputs: ReportInputs, tables: Sequence[Table]) -> list[Highlight]:
    """The few numbers that a reader wants first."""
    classifiers, by_metric = best_classifiers(inputs), bests_by_metric(inputs)
    bests = {
        "test": best_on_test(inputs),
        "table 8": classifiers.on_one_split,
        "classifiers": classifiers.over_clean,
        "fine-tuned": best_fine_tuned(inputs).overall,
        "networks": best_networks(inputs).overall,
        "ensembles": best_ensembles(inputs).overall,
    }
    shown = [
        _highlight(inputs, tables, by_metric, f"highlight {name}", best)
        for name, best in bests.items()
        if best
    ]
    reproduced = _cells_reproduced(inputs, verdicts_of_table_8(tables))
    return [*shown, reproduced] if reproduced else shown


def _highlight(
    inputs: ReportInputs, tables: Sequence[Table], bests: Mapping[str, Best], name: str, best: Best
) -> Highlight:
    """The highlight of a best by its words, which leads to the first of their tables with it."""
    values = {"inputs": inputs, "best": best, "reference": published}
    label, study, numbers = (text(name, part, **values) for part in ("label", "study", "tables"))
    part = text(name, "part") or "validation"
    measure = "accuracy" if inputs.is_balanced else "balanced accuracy"
    detail, largest = best.title, baseline(inputs, best, part)
    detail += "" if largest is None else f"; the largest class alone {largest:.3f}"
    detail += f"; the study’s {study}" if study else ""
    by_number = {table.number: table for table in tables}
    holding = (by_number[number] for number in numbers.split() if number in by_number)
    anchors = [table.anchor for table in holding if _holds(table, best)]
    anchor = anchors[0] if anchors else anchor_of(best.source)
    value, tag = f"{best.accuracy:.3f}", best.tag
    if inputs.less_clean and part == "validation" and not isinstance(best.score, Score):
        tag = tag or "near-duplicates not kept apart"
    return Highlight(
        value,
        measure,
        label,
        detail,
        anchor,
        tag,
        best.interval,
        metric=next((name for name, other in bests.items() if other == best), ""),
        split=best.split,
        artifact=best.source.to_json(),
    )


def _holds(table: Table, best: Best) -> bool:
    """Whether a table has a cell with the accuracy of a best and its interval."""
    number, sources = (best.accuracy, best.interval), (None, best.source)
    return any(
        (cell.value, cell.interval) == number and cell.artifact in sources
        for row in table.rows
        for cell in row.cells
    )


def _cells_reproduced(inputs: ReportInputs, verdicts: Sequence[Verdict]) -> Highlight | None:
    if not verdicts:
        return None
    return Highlight(
        f"{sum(verdict != 'below' for verdict in verdicts)} of {len(verdicts)}",
        "cells of Table 8 reproduced",
        "classifiers on features",
        "the difference from the study’s number within chance, or ours better",
        "table-8",
        trained_tag(inputs.has_random_weights),
    )


def verdicts_of_table_8(tables: Sequence[Table]) -> list[Verdict]:
    """The verdicts in Table 8's cells."""
    rows = [row for table in tables if table.number == "8" for row in table.rows]
    return [cell.verdict for row in rows for cell in row.cells if cell.verdict]


def in_order(tables: Sequence[Table], figures: Sequence[Figure]) -> list[Table | Figure]:
    """A part's tables and figures in the order in which the page shows them."""
    numbers = {table.number for table in tables}
    ordered: list[Table | Figure] = [figure for figure in figures if figure.behind is None]
    for table in tables:
        ordered.append(table)
        ordered += [figure for figure in figures if figure.behind == table.number]
    return ordered + [figure for figure in figures if figure.behind not in {None, *numbers}]


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading, or under none. reason: why none of them has numbers."""

    title: str
    tag: str
    rows: tuple[Row, ...]
    reason: str


def row_groups(table: Table) -> list[RowGroup]:
    """A table's rows gathered under their headings, with the tag and reason that all share.

    Of a long table the first rows.
    """
    gathered: dict[str, list[Row]] = {}
    for row in table.rows[: table.n_shown]:
        gathered.setdefault(row.group, []).append(row)
    groups = []
    for title, rows in gathered.items():
        tags, reasons = {row.tag for row in rows}, {row.missing for row in rows}
        tag = tags.pop() if title and len(tags) == 1 else ""
        reason = reasons.pop() if title and len(rows) > 1 and len(reasons) == 1 else ""
        groups.append(RowGroup(title, tag, tuple(rows), reason))
    return groups


def title(inputs: ReportInputs) -> str:
    """What the report is on: the study's data, or a person's own by their classes."""
    names = [shortened(name, 24) for name in inputs.class_names]
    if inputs.beside_study:
        return "Flowers-17: small‑data image classification"
    few = ", ".join(names if len(names) <= 4 else names[:3])
    more = f" and {len(names) - 3} more classes" if len(names) > 4 else ""
    return f"Image classification: {few or 'own images'}{more}"


def page(
    inputs: ReportInputs,
    tables: Mapping[PartName, Sequence[Table]],
    figures: Mapping[PartName, Sequence[Figure]],
) -> str:
    """The report's HTML."""
    templates = environment()
    templates.filters["svg"] = Markup
    templates.globals.update(
        anchor_of=anchor_of,
        interval_text=interval_text,
        row_groups=row_groups,
        fold=TABLE_FOLD,
    )
    every = [table for part in tables.values() for table in part]
    names = {f"Table {table.number}" for table in every}
    names |= {f"Figure {figure.number}" for part in figures.values() for figure in part}
    parts = [
        {
            **vars(part),
            "contents": in_order(tables.get(part.name, ()), figures.get(part.name, ())),
            "reasons": labels_by_reason(inputs.absent_from(part.name)),
            "absent": [
                entry
                for entry in published.CONTENTS
                if entry.part == part.name and entry.name not in names
            ],
        }
        for part in published.PARTS
        if part.name not in ("test", "next") or tables[part.name]
    ]
    settings = flat(inputs.shown_settings)
    values: dict[str, Any] = {
        "inputs": inputs,
        "title": title(inputs),
        "parts": parts,
        "highlights": highlights(inputs, every),
        "lineages": lineages(inputs),
        "settings": [(name, setting_text(each)) for name, each in settings.items()],
    }
    return templates.get_template("report.html").render(values)


def setting_text(value: Any) -> str:
    """A setting's value in a line.

    >>> setting_text([8, 16]), setting_text([{"name": "a", "search": False}, {"name": "b"}])
    ('8, 16', 'name a; name b')
    """
    if not isinstance(value, list):
        return str(value)
    of_records = value and isinstance(value[0], Mapping)
    return "; ".join(map(_one_line, value)) if of_records else ", ".join(map(str, value))


def _one_line(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, list):
            value = " + ".join(
                f"({_one_line(item)})" if isinstance(item, Mapping) else str(item) for item in value
            )
        if value not in (None, False):
            parts.append(f"{name} {value}")
    return ", ".join(parts)
