"""The whole report: page, results, tables and figures, written to a folder."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from flowers17.digests import canonical_json
from flowers17.reporting.attacks.defences import defence_tables, poisoning_tables
from flowers17.reporting.attacks.exploratory import exploratory_tables, fidelity_figure
from flowers17.reporting.attacks.figures import attack_figures
from flowers17.reporting.attacks.tables import attack_tables
from flowers17.reporting.best import bests_by_metric, headline
from flowers17.reporting.classes.figures import class_figures
from flowers17.reporting.classes.tables import class_tables, with_baseline
from flowers17.reporting.columns import without_study
from flowers17.reporting.confusion_figures import confusion_matrix
from flowers17.reporting.data_tables import classes_table, datasheet_table, duplicates_table
from flowers17.reporting.ensembles.figures import ensemble_figures
from flowers17.reporting.ensembles.tables import ensemble_tables
from flowers17.reporting.features.figures import forward_pass, overview
from flowers17.reporting.features.tables import (
    beyond_table,
    classifiers_table,
    extractors_table,
    paired_table,
)
from flowers17.reporting.figures import Figure, class_counts, most_cut, one_image_a_class
from flowers17.reporting.finetuning.figures import tuned_curves, tuned_forward_pass
from flowers17.reporting.finetuning.tables import fine_tuning_tables
from flowers17.reporting.given_test_part import test_tables
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.figures import learner_figures
from flowers17.reporting.learners.tables import learner_tables
from flowers17.reporting.next_steps.figures import answer_figures
from flowers17.reporting.next_steps.tables import answer_tables, steps_of, steps_table
from flowers17.reporting.page import highlights, in_order, page, verdicts_of_table_8
from flowers17.reporting.reference import PartName
from flowers17.reporting.studies.records import FORMAT
from flowers17.reporting.tables import StudyNote, Table, csv_text


def all_tables(inputs: ReportInputs) -> dict[PartName, list[Table]]:
    """Every table that this version makes, by part; without the study's numbers on other data."""
    tables = _tables_beside_study(inputs)
    if inputs.beside_study:
        return tables
    return {name: [table_without_study(table) for table in part] for name, part in tables.items()}


def table_without_study(table: Table) -> Table:
    """A table as it is where no study is compared with."""
    notes = tuple(note for note in table.notes if not isinstance(note, StudyNote))
    return replace(table, columns=without_study(table.columns), notes=notes)


def _tables_beside_study(inputs: ReportInputs) -> dict[PartName, list[Table]]:
    data = [classes_table(inputs), datasheet_table(inputs), duplicates_table(inputs)]
    features = [
        extractors_table(inputs),
        classifiers_table(inputs),
        beyond_table(inputs),
        paired_table(inputs),
    ]
    has_features = bool(inputs.feature_maps or inputs.absences("features"))
    parts: dict[PartName, list[Table]] = {
        "data": data if inputs.images else [],
        "a1": learner_tables(inputs),
        "a2": ensemble_tables(inputs),
        "b1": features if has_features else [],
        "b2": fine_tuning_tables(inputs),
        "c": [
            *attack_tables(inputs),
            *exploratory_tables(inputs),
            *defence_tables(inputs),
            *poisoning_tables(inputs),
        ],
        "test": test_tables(inputs),
    }
    return {
        name: [*(with_baseline(inputs, table) for table in part), *class_tables(inputs, name)]
        for name, part in parts.items()
    } | {"next": [*steps_table(inputs), *answer_tables(inputs)]}


def all_figures(inputs: ReportInputs) -> dict[PartName, list[Figure]]:
    """Every figure that the study's artifacts allow, by part."""
    figures: dict[PartName, list[Figure | None]] = {
        "data": [one_image_a_class(inputs), class_counts(inputs), most_cut(inputs)],
        "a1": learner_figures(inputs),
        "a2": [*ensemble_figures(inputs)],
        "b1": [forward_pass(inputs), overview(inputs), confusion_matrix(inputs)],
        "b2": [tuned_forward_pass(inputs), *tuned_curves(inputs)],
        "c": [*attack_figures(inputs), fidelity_figure(inputs)],
        "test": [],
        "next": answer_figures(inputs),
    }
    return {
        name: [figure for figure in [*part, *class_figures(inputs, name)] if figure]
        for name, part in figures.items()
    }


def write_report(inputs: ReportInputs, folder: Path) -> dict[str, Any]:
    """Write index.html, results.json, tables/ and figures/ below a folder, and give the metrics.

    Raises InvalidInput if a result disagrees with its own predictions.
    """
    tables, figures = all_tables(inputs), all_figures(inputs)
    every = [table.timeless for part in tables.values() for table in part]
    drawings = [figure for part in figures.values() for figure in part if not figure.of_machine]
    for below in ("tables", "figures"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    for table in every:
        _write(folder / "tables" / table.file_name, csv_text(table.frame))
    for figure in drawings:
        (folder / "figures" / figure.file_name).write_bytes(figure.content)
    # No time, duration, path or host is in it: two runs of one study give equal bytes.
    numbers = {
        "format": FORMAT,
        "data": {
            "source": inputs.source_kind,
            "digest": inputs.data_digest,
            "is_oxford17": inputs.is_oxford17,
        },
        "random_weights": inputs.has_random_weights,
        "differences": inputs.differences,
        "settings": inputs.shown_settings,
        "headline": headline(inputs),
        "missing": {"labels": sorted(stage.label for stage in inputs.absent)},
        "tables": {table.number: table.to_json() for table in every},
        "contents": _contents(in_order(tables[name], figures[name]) for name in tables),
        "highlights": list(map(asdict, highlights(inputs, every))),
        "next_steps": [
            {"text": text, "numbers": f"Table {number}"} for text, number in steps_of(inputs)
        ],
    }
    _write(folder / "results.json", canonical_json(numbers) + "\n")
    _write(folder / "index.html", page(inputs, tables, figures))
    return report_metrics(inputs, every)


def _contents(parts: Iterable[Sequence[Table | Figure]]) -> list[dict[str, str]]:
    """The report's tables and figures in the order of its page: kind, number, title and file."""
    return [
        {
            "kind": "figure" if isinstance(content, Figure) else "table",
            "number": content.number,
            "title": content.title,
            "file": content.file_name,
        }
        for content in chain.from_iterable(parts)
        if not getattr(content, "of_machine", False)
    ]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def report_metrics(inputs: ReportInputs, tables: list[Table]) -> dict[str, Any]:
    """The report's few numbers for the study's overview."""
    rows = [row for table in tables if table.number == "8" for row in table.rows]
    verdicts = verdicts_of_table_8(tables)
    metrics: dict[str, Any] = {}
    if rows:
        metrics |= {"n_cells": len(rows), "n_missing": sum(bool(row.missing) for row in rows)}
    if verdicts:
        metrics["n_compared"] = len(verdicts)
        metrics["n_within_or_better"] = sum(verdict != "below" for verdict in verdicts)
    bests = bests_by_metric(inputs)
    return metrics | {name: round(best.accuracy, 4) for name, best in bests.items()}
