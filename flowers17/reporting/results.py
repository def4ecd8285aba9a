"""`results.json`: every number of the report for machines, the same bytes from run to run."""

from collections.abc import Sequence
from typing import Any

from flowers17.reporting.best import headline
from flowers17.reporting.data_tables import SOURCES
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Table

FORMAT = 1


def shown_settings(inputs: ReportInputs) -> dict[str, Any]:
    """The study's settings with the data's kind in the place of its path."""
    settings = inputs.study.model_dump(mode="json")
    if settings["dataset"]["source"] not in SOURCES:
        settings["dataset"]["source"] = inputs.source_kind
    return settings


def results(inputs: ReportInputs, tables: Sequence[Table]) -> dict[str, Any]:
    """The report's numbers: by table and row, each cell's value and where it comes from.

    No time, duration, path or host is in it: two runs of one study give equal bytes.
    """
    return {
        "format": FORMAT,
        "data": {
            "source": inputs.source_kind,
            "digest": inputs.data_digest,
            "is_oxford17": inputs.is_oxford17,
        },
        "random_weights": inputs.has_random_weights,
        "differences": inputs.differences,
        "settings": shown_settings(inputs),
        "headline": headline(inputs),
        "missing": {"labels": sorted(stage.label for stage in inputs.absent)},
        "tables": {table.number: table.to_json() for table in tables},
    }
