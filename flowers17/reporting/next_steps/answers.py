"""Tables N2 to N6: the rows that the part's stages found, under the words of `next_steps.yaml`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flowers17.artifacts import Artifact
from flowers17.reporting.cells import value_cell
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval
from flowers17.reporting.tables import EMPTY, Cell, Column, Record, Table

WORDS: Mapping[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "known" / "next_steps.yaml").read_text("utf-8")
)


@dataclass(frozen=True)
class Facts(Record):
    """A row of a table of this part: what its columns show, by their keys."""

    values: Mapping[str, Any] = field(default_factory=dict)


def answers(inputs: ReportInputs) -> dict[str, tuple[Artifact, Mapping[str, Any]]]:
    """The artifact of each question that was asked and what it found, by the table's number.

    `reason` stands in place of an answer where there is none.
    """
    by_number = {}
    for number, words in WORDS["tables"].items():
        for artifact in inputs.stage(words["stage"]) if "stage" in words else ():
            by_number[number] = artifact, artifact.json("result")
    return by_number


def answer_tables(inputs: ReportInputs) -> list[Table]:
    """The table of each question that was asked."""
    tables = []
    for number, (artifact, result) in answers(inputs).items():
        records = [
            Facts(
                group=row.get("group", ""),
                missing=row.get("reason", ""),
                source=artifact.reference,
                values={**row, **times_of(artifact, row.get("model", ""))},
            )
            for row in result.get("rows", ())
        ]
        lead = WORDS["tables"][number].get("lead", "")
        lead = f"No answer: {result['reason']}." if result["reason"] else lead.format(**result)
        tables.append(table(number, records, lead.replace("%", " %")))
    return tables


def times_of(artifact: Artifact, label: str) -> dict[str, float]:
    """A model's milliseconds an image on the machine that timed it, by column: its metrics."""
    metrics = artifact.manifest["metrics"]
    return {
        key: metrics[f"{label}, {key}"] for key in ("ms_1", "ms_32") if f"{label}, {key}" in metrics
    }


def table(number: str, records: Iterable[Facts], lead: str) -> Table:
    """A table of this part by its words."""
    words = WORDS["tables"][number]
    columns, notes = [column(**each) for each in words["columns"]], tuple(words.get("notes", ()))
    return Table(number, words["title"], columns, list(records), lead=lead, notes=notes)


def column(
    key: str,
    title: str,
    form: str = ".3f",
    unit: str = "",
    group: str = "",
    interval: bool = False,
    of_machine: bool = False,
) -> Column[Facts]:
    """Column of the values of a key: words, numbers, or measures with their interval."""

    def cell(record: Facts) -> Cell:
        value = record.values.get(key)
        if isinstance(value, Mapping):
            ends = value["interval"] and Interval(*value["interval"])
            return Cell(f"{value['value']:{form}}", value["value"], ends, artifact=record.source)
        return EMPTY if value in (None, "") else value_cell(value, form, source=record.source)

    is_number = form != "text"
    return Column(key, title, cell, group, unit, is_number, interval, of_machine=of_machine)
