"""The report as one HTML page: no request to anywhere, readable on a phone and on paper."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flowers17.reporting.best_table import best_tuned
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import ensemble_title, split_title, tag_of
from flowers17.reporting.ensembles.paired import best_ensemble
from flowers17.reporting.features.tables import best_over_repeats, evaluation_title
from flowers17.reporting.figures import Figure
from flowers17.reporting.html import environment
from flowers17.reporting.learners.cells import training_title
from flowers17.reporting.learners.tables import best_over_clean, best_trained
from flowers17.reporting.lineage import anchor_of, lineages
from flowers17.reporting.reference import (
    BEST_OF_TABLE_8,
    BEST_OF_TABLE_9,
    BEST_SINGLE_NETWORK,
    CONTENTS,
    PARTS,
    STACKING_OF_TABLE_5,
    PartName,
)
from flowers17.reporting.results import shown_settings
from flowers17.reporting.tables import Row, Table
from flowers17.reporting.titles import trained_tag
from flowers17.reporting.wording import capital, interval_text

NOT_BUILT = "not part of this version yet"
TABLE_FOLD = 30
# The table that a figure is shown behind, or nothing: before all tables. Others come last.
_BEHIND = {"1": "", "1b": "", "2": "2", "3": "3", "3b": "3", "4": "3", "4b": "3c"}
_BEHIND |= {"7": "", "7b": "8", "8": ""}
# With a letter: that of an ensemble’s table, or of one of several figures behind one table.
_LETTERED = (
    (re.compile(r"5([b-z]*)$"), r"4\1"),
    (re.compile(r"5([b-z]*)-(confusion|pairs)$"), r"5\1"),
    (re.compile(r"5[b-z]*-reliability$"), "5-calibration"),
    (re.compile(r"6([b-z]*)$"), r"6\1"),
    (re.compile(r"8[b-z]$"), "9"),
    (re.compile(r"(C[123])[b-z]?$"), r"\1"),
)


@dataclass(frozen=True)
class Highlight:
    """One number at the top of the page, with a link to where it comes from."""

    value: str
    label: str
    detail: str
    anchor: str
    tag: str = ""


def highlights(inputs: ReportInputs, tables: Sequence[Table]) -> list[Highlight]:
    """Return the few numbers that a reader wants first."""
    found: list[Highlight] = []
    best, tag = inputs.best, trained_tag(inputs.has_random_weights)
    score = best.score("report") if best else None
    if best and score:
        compared = "" if inputs.differences else f"; the study’s best {BEST_OF_TABLE_8:.3f}"
        found.append(
            Highlight(
                f"{score.accuracy:.3f}",
                "best of Table 8",
                f"{evaluation_title(inputs, best)}, {interval_text(score.interval)}{compared}",
                anchor_of(best.artifact.reference),
                tag,
            )
        )
    over = best_over_repeats(inputs.evaluations)
    if over and over.repeated:
        mean = over.repeated
        between = f", {interval_text(mean.interval)}" if mean.interval else ""
        found.append(
            Highlight(
                f"{mean.mean:.3f}",
                f"best mean over {mean.n_splits} clean split{'s' * (mean.n_splits != 1)}",
                f"{evaluation_title(inputs, over)}{between}",
                anchor_of(over.artifact.reference),
                tag,
            )
        )
    found += _fine_tuned(inputs) + _from_scratch(inputs) + _ensemble(inputs)
    judged = [
        cell.verdict
        for table in tables
        if table.number == "8"
        for row in table.rows
        for cell in row.cells
        if cell.verdict
    ]
    if judged:
        good = sum(one in ("within", "better") for one in judged)
        found.append(
            Highlight(
                f"{good} of {len(judged)}",
                "cells of Table 8 reproduced",
                "the study’s number within our 95 % interval, or ours better",
                "table-8",
                tag,
            )
        )
    return found


def _fine_tuned(inputs: ReportInputs) -> list[Highlight]:
    """Return the best fine-tuned network: over clean splits if there are such, else of Table 9."""
    best = best_tuned(inputs)
    if not best:
        return []
    compared = "" if inputs.differences else f"; the study’s best {BEST_OF_TABLE_9:.3f}"
    between = f", {interval_text(best.interval)}" if best.interval else ""
    label = f"best fine-tuned network, {best.where}"
    anchor = anchor_of(best.source)
    detail = f"{best.title}{between}{compared}"
    return [Highlight(f"{best.accuracy:.3f}", label, detail, anchor, best.tag)]


def _from_scratch(inputs: ReportInputs) -> list[Highlight]:
    """Return the best single network: over clean splits if there are such trainings."""
    differs = bool(inputs.data_differences_in_short)
    compared = "" if differs else f"; the study’s best {BEST_SINGLE_NETWORK:.3f}"
    clean, one = best_over_clean(inputs), best_trained(inputs)
    if clean:
        first, mean = clean
        between = f", {interval_text(mean.interval)}" if mean.interval else ""
        label = f"best single network from scratch, mean over {mean.n_splits} clean split"
        label += "s" * (mean.n_splits != 1)
        detail = f"{training_title(first)}{between}{compared}"
        return [Highlight(f"{mean.mean:.3f}", label, detail, "table-3c", first.tag)]
    if one:
        detail = f"{training_title(one)}, {interval_text(one.score.interval)}{compared}"
        anchor, value = anchor_of(one.artifact.reference), f"{one.score.accuracy:.3f}"
        return [Highlight(value, "best single network from scratch", detail, anchor, one.tag)]
    return []


def _ensemble(inputs: ReportInputs) -> list[Highlight]:
    """Return the best ensemble, by the method that was chosen on the training images."""
    best = best_ensemble(inputs)
    if not best:
        return []
    one, score = best.first, best.first.score(best.first.chosen_correct)
    differs = bool(inputs.data_differences_in_short)
    compared = "" if differs else f"; the study’s {STACKING_OF_TABLE_5:.3f}"
    interval = best.over.interval if best.over else score.interval
    where = f"mean over {best.over.n_splits} clean splits" if best.over else split_title(one)
    between = f", {interval_text(interval)}" if interval else ""
    detail = f"{capital(ensemble_title(inputs, one.name))}{between}{compared}"
    label, tag = f"best ensemble, {where}", tag_of(inputs, one.name)
    return [Highlight(f"{best.accuracy:.3f}", label, detail, "table-5-paired", tag)]


def behind(number: str) -> str | None:
    """Return the table that a figure is shown behind; empty: before all tables; None: at the end.

    >>> behind("3b"), behind("1"), behind("5c-pairs"), behind("9")
    ('3', '', '5c', None)
    """
    for pattern, table in _LETTERED:
        if found := pattern.match(number):
            return found.expand(table)
    return _BEHIND.get(number)


def in_order(tables: Sequence[Table], figures: Sequence[Figure]) -> list[Table | Figure]:
    """Return a part's tables and figures in the order in which the page shows them."""
    numbers = {table.number for table in tables}
    ordered: list[Table | Figure] = [one for one in figures if behind(one.number) == ""]
    for table in tables:
        ordered.append(table)
        ordered += [one for one in figures if behind(one.number) == table.number]
    return ordered + [one for one in figures if behind(one.number) not in {"", *numbers}]


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading, or under none; `reason` if none of them has numbers, and why."""

    title: str
    tag: str
    rows: tuple[Row, ...]
    reason: str


def row_groups(table: Table) -> list[RowGroup]:
    """Return a table's rows gathered under their headings; what all share is said once."""
    gathered: dict[str, list[Row]] = {}
    for row in table.rows:
        gathered.setdefault(row.group, []).append(row)
    groups = []
    for title, rows in gathered.items():
        tags, reasons = {row.tag for row in rows}, {row.missing for row in rows}
        groups.append(
            RowGroup(
                title,
                tags.pop() if title and len(tags) == 1 else "",
                tuple(rows),
                reasons.pop() if title and len(rows) > 1 and len(reasons) == 1 else "",
            )
        )
    return groups


def reasons(missing: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return each reason why something was not run, once, with the labels that it holds for."""
    gathered: dict[str, list[str]] = {}
    for label, reason in sorted(missing.items()):
        gathered.setdefault(reason, []).append(label)
    return list(gathered.items())


def page(
    inputs: ReportInputs,
    tables: Mapping[PartName, Sequence[Table]],
    figures: Mapping[PartName, Sequence[Figure]],
) -> str:
    """Return the report's HTML."""
    templates = environment()
    templates.filters["svg"] = Markup
    templates.globals.update(
        anchor_of=anchor_of, interval_text=interval_text, row_groups=row_groups, fold=TABLE_FOLD
    )
    every = [table for part in tables.values() for table in part]
    made = {f"Table {one.number}" for one in every}
    made |= {f"Figure {one.number}" for part in figures.values() for one in part}
    elsewhere = {
        *inputs.untrained,
        *inputs.uncombined,
        *inputs.untuned,
        *inputs.unattacked,
    }
    values: dict[str, Any] = {
        "inputs": inputs,
        "parts": PARTS,
        "tables": tables,
        "figures": figures,
        "highlights": highlights(inputs, every),
        "contents": {
            part.name: in_order(tables.get(part.name, ()), figures.get(part.name, ()))
            for part in PARTS
        },
        "reasons": {
            "a1": reasons(inputs.untrained),
            "a2": reasons(inputs.uncombined),
            "b1": reasons(
                {label: why for label, why in inputs.missing.items() if label not in elsewhere}
            ),
            "b2": reasons(inputs.untuned),
            "c": reasons(inputs.unattacked),
        },
        "needs_weights": any(label.startswith("features ") for label in inputs.missing),
        "lineages": lineages(inputs),
        "settings": flat(shown_settings(inputs)),
        "absent": {
            part.name: [one for one in CONTENTS if one.part == part.name and one.name not in made]
            for part in PARTS
        },
        "not_built": NOT_BUILT,
    }
    return templates.get_template("report.html").render(values)


def flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as lines of name and value, the names as `--set` takes them.

    >>> flat({"seed": 17, "splits": {"n_repeats": 8}})
    [('seed', '17'), ('splits.n_repeats', '8')]
    """
    if isinstance(values, Mapping):
        return [line for name, value in values.items() for line in flat(value, f"{prefix}{name}.")]
    if isinstance(values, list) and values and isinstance(values[0], Mapping):
        return [(prefix.rstrip("."), "; ".join(_one_line(value) for value in values))]
    text = ", ".join(map(str, values)) if isinstance(values, list) else str(values)
    return [(prefix.rstrip("."), text)]


def _one_line(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        if value in (None, False):
            continue
        if isinstance(value, list):
            value = " + ".join(
                f"({_one_line(one)})" if isinstance(one, Mapping) else str(one) for one in value
            )
        parts.append(f"{name} {value}")
    return ", ".join(parts)
