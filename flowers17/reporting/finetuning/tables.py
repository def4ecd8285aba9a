"""The tables of Part B.2, in their order, and Table 9: eight configurations, two phases."""

from collections.abc import Mapping
from typing import Any

from flowers17.config import FeatureMapSettings
from flowers17.reporting.best_table import best_table
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.finetuning.cells import (
    PHASES,
    accuracy_cell,
    comparable,
    configuration_title,
    every_of_table_9,
    of_table_9,
    recipe_notes,
    reference_of,
    tag_of,
    way_notes,
)
from flowers17.reporting.finetuning.own import tuned_splits_table, tuned_table
from flowers17.reporting.finetuning.paired import tuned_paired_table
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.finetuning.seeds import seeds_table
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.reference import title_of
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.verdicts import VERDICT_NOTE, verdict_cell

_HEADINGS = {"a": "Phase A: the head alone", "b": "Phase B: the last blocks too"}


def fine_tuning_tables(inputs: ReportInputs) -> list[Table]:
    """Return Tables 9 and what goes with it, if something was fine-tuned or failed, and 10."""
    made: list[Table] = []
    if inputs.fine_tunings or inputs.absent_from("b2"):
        made = [
            phases_table(inputs),
            seeds_table(inputs),
            tuned_paired_table(inputs),
            tuned_table(inputs),
            tuned_splits_table(inputs),
        ]
    return [table for table in (*made, best_table(inputs)) if table.rows]


def phases_table(inputs: ReportInputs) -> Table:
    """Return Table 9: every configuration of every extractor, phases and studies side by side."""
    columns: list[Column[Any]] = [Column("configuration", "Configuration", numeric=False)]
    for phase in PHASES:
        title = _HEADINGS[phase]
        columns += [
            Column(f"study_{phase}", "study", group=title),
            Column(f"ours_{phase}", "ours", group=title, interval=True),
            Column(f"verdict_{phase}", "against it", group=title, numeric=False),
        ]
    columns += [
        Column("epoch_a", "A", group="Epoch kept"),
        Column("epoch_b", "B", group="Epoch kept"),
    ]
    made = every_of_table_9(inputs)
    return Table(
        "9",
        title_of("table", 9),
        tuple(columns),
        tuple(
            _row(inputs, maps, configuration, found)
            for maps in inputs.study.fine_tuning.table
            for configuration, found in of_table_9(inputs, maps)
        ),
        lead="Validation accuracy on the report’s split, with 95 % intervals. Phase B goes on from "
        "the head that phase A keeps. Table 9-paired tells which differences are more than chance.",
        notes=(
            *((VERDICT_NOTE,) if any(comparable(inputs, one) for one in made) else ()),
            *(_CHOSEN if any(one.recipe.selection == "val_loss" for one in made) else ()),
            *way_notes(made),
            *_unfrozen_notes(inputs, made),
            *recipe_notes(inputs, made),
        ),
    )


_CHOSEN = (
    "As in the study, the epoch kept is the one with the lowest loss on these same validation "
    "images, which flatters every number a little.",
)


def _unfrozen_notes(inputs: ReportInputs, made: list[FineTuning]) -> tuple[str, ...]:
    blocks = {one.maps: one.unfrozen_from for one in made if one.unfrozen_from}
    if not blocks:
        return ()
    titles = {one.name: map_title(one) for one in inputs.study.fine_tuning.table}
    said = ", ".join(f"{block} on of {titles[maps]}" for maps, block in sorted(blocks.items()))
    return (f"Phase B trains from {said}. The study does not say which layers it unfreezes.",)


def _row(
    inputs: ReportInputs,
    maps: FeatureMapSettings,
    configuration: str,
    made: Mapping[Phase, FineTuning],
) -> Row:
    cells = [Cell(configuration_title(configuration), configuration)]
    for phase in PHASES:
        reference = reference_of(configuration, maps.extractor, phase)
        one = made.get(phase)
        cells += [
            number_cell(reference),
            accuracy_cell(one, reference),
            _judged(inputs, one, reference),
        ]
    for phase in PHASES:
        one = made.get(phase)
        cells.append(Cell(f"{one.best_epoch} of {one.epochs}", one.best_epoch) if one else EMPTY)
    lacking = [phase for phase in PHASES if phase not in made]
    missing = ""
    if lacking:
        name = f"{maps.name} {configuration}"
        missing = inputs.reason_absent("finetuning", name=name, phase=lacking[0], split="report")
        missing = missing if len(lacking) == 2 else f"phase {lacking[0].upper()}: {missing}"
    return Row(tuple(cells), map_title(maps), tag_of(made.values()), missing)


def _judged(inputs: ReportInputs, one: FineTuning | None, reference: float | None) -> Cell:
    like_the_study = bool(one and comparable(inputs, one))
    return verdict_cell(one.score if one else None, reference, like_the_study)
