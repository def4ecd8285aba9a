"""The tables of Part B.2, in their order, and Table 9: eight configurations, two phases."""

from collections.abc import Iterator, Sequence

from flowers17.reporting.best_table import best_table
from flowers17.reporting.columns import text_column
from flowers17.reporting.finetuning.cells import (
    EPOCH_COLUMNS,
    OF_PHASE,
    TuningRecord,
    frozen_part_notes,
    recipe_notes,
    records_of_table_9,
)
from flowers17.reporting.finetuning.paired import tuned_paired_table
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.finetuning.repeats import seeds_table, tuned_splits_table, tuned_table
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.networks import study_notes
from flowers17.reporting.reference import title_of
from flowers17.reporting.tables import Column, StudyNote, Table
from flowers17.reporting.titles import map_title


def fine_tuning_tables(inputs: ReportInputs) -> list[Table]:
    """Tables 9 and what goes with it, if something was fine-tuned or failed, and 10."""
    tables: list[Table] = []
    if inputs.fine_tunings or inputs.absent_from("b2"):
        tables = [
            phases_table(inputs),
            seeds_table(inputs),
            tuned_paired_table(inputs),
            tuned_table(inputs),
            tuned_splits_table(inputs),
        ]
    return [table for table in (*tables, best_table(inputs)) if table.records]


def phases_table(inputs: ReportInputs) -> Table:
    """Table 9: every configuration of every extractor, phases and studies side by side."""
    columns: Sequence[Column[TuningRecord]] = [
        text_column("configuration", "Configuration", lambda r: r.title, lambda r: r.value),
        *OF_PHASE["a"].compared(
            inputs, lambda r: r.study.a if r.study else None, "Phase A: the head alone", "a"
        ),
        *OF_PHASE["b"].compared(
            inputs, lambda r: r.study.b if r.study else None, "Phase B: the last blocks too", "b"
        ),
        *EPOCH_COLUMNS,
    ]
    records = records_of_table_9(inputs)
    tunings = [tuning for record in records for tuning in record.tunings]
    return Table(
        "9",
        title_of("table", 9),
        columns,
        records,
        lead="Validation accuracy on the report’s split, with 95 % intervals. Phase B goes on from "
        "the head that phase A keeps. Table 9-paired tells which differences are more than chance.",
        notes=(
            *study_notes(inputs, tunings),
            *frozen_part_notes(tunings),
            *_unfrozen_notes(inputs, tunings),
            *recipe_notes(inputs, tunings),
        ),
    )


def _unfrozen_notes(inputs: ReportInputs, tunings: Sequence[FineTuning]) -> Iterator[str]:
    blocks = {tuning.maps: tuning.unfrozen_from for tuning in tunings if tuning.unfrozen_from}
    titles = {maps.name: map_title(maps) for maps in inputs.study.fine_tuning.table}
    if blocks:
        text = ", ".join(f"{block} on of {titles[maps]}" for maps, block in sorted(blocks.items()))
        yield f"Phase B trains from {text}."
        yield StudyNote("The study does not say which layers it unfreezes.")
