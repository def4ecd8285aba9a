"""Table 4: what the ensembles are made of."""

from collections.abc import Iterator, Sequence
from typing import Any

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import (
    data_notes,
    ensemble_title,
    group_title,
    is_the_studys,
    learner_of,
    made_of,
    member_title,
    members_of,
    reason_unmade,
    suffix_of,
    tag_of,
)
from flowers17.reporting.ensembles.records import Ensemble
from flowers17.reporting.records import inputs_of, training
from flowers17.reporting.reference import TABLE_4, title_of
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import thousands


def members_table(inputs: ReportInputs, name: str) -> Table:
    """Return Table 4 of an ensemble: layers and parameters of its members, epochs by fold."""
    studys, suffix = is_the_studys(inputs, name), suffix_of(inputs, name)
    theirs: list[Column[Any]] = (
        [Column("study_parameters", "study", group="Parameters")] if studys else []
    )
    made = made_of(inputs, name)
    rows = [row for one in made for row in _member_rows(inputs, one, studys=studys)]
    if not made:
        rows = [_absent_member(inputs, name, member, studys) for member in members_of(inputs, name)]
    folds = sorted({one.n_folds for one in made})
    divided = f" {' or '.join(map(str, folds))} folds" if folds else " folds"
    return Table(
        f"4{suffix}",
        title_of("table", 4) if studys else f"The members of {ensemble_title(inputs, name)}",
        (
            Column("member", "Member", numeric=False),
            *theirs,
            Column("parameters", "ours" if studys else "Parameters", group="Parameters" * studys),
            Column("convolutions", "Convolutions"),
            Column("poolings", "Pooling"),
            Column("dense", "Dense"),
            Column("style", "Padding, activation", numeric=False),
            Column("epochs", "Epoch kept, fold by fold"),
            Column("refit_epochs", "Epochs of the refit"),
        ),
        tuple(rows),
        lead=f"The training images of a split are divided into{divided}, the same for every "
        "member: stratified, and near-duplicates together.",
        notes=(
            *_epoch_notes(made),
            *data_notes(inputs, [tag_of(inputs, name)] if studys else []),
        ),
    )


def _epoch_notes(made: Sequence[Ensemble]) -> Iterator[str]:
    """Yield how the epochs were chosen, of the networks that there are."""
    networks = [one.name for each in made for one in each.members if one.epochs]
    if any(not name.endswith(" best") for name in networks):
        yield (
            "By the study’s recipe a fold’s model keeps the epoch with the lowest loss on a part "
            "cut from the fold’s own training images; the refit is trained for their mean."
        )
    if any(name.endswith(" best") for name in networks):
        yield "By our own recipe a model keeps its last epoch: no image chooses it."


def _member_rows(inputs: ReportInputs, one: Ensemble, *, studys: bool) -> Iterator[Row]:
    source = one.folds.reference
    for member in one.members:
        study = TABLE_4.get(learner_of(member.name)) if studys else None
        reference = study.n_parameters if study else None
        ours: Cell = EMPTY
        if member.n_parameters is not None:
            text = thousands(member.n_parameters)
            ours = Cell(text, member.n_parameters, None, reference, source)
        epochs, refit = EMPTY, EMPTY
        if member.epochs is not None:
            kept = ", ".join(map(str, member.epochs))
            epochs = Cell(kept, kept, artifact=source)
        if member.refit_epochs is not None:
            refit = Cell(str(member.refit_epochs), member.refit_epochs, artifact=source)
        yield Row(
            (
                Cell(member_title(inputs, member.name, short=studys), member.name),
                *((Cell(thousands(reference), reference) if reference else EMPTY,) * studys),
                ours,
                *_layer_cells(inputs, one, member.name),
                epochs,
                refit,
            ),
            group_title(inputs, one),
            tag_of(inputs, one.name),
        )


def _absent_member(inputs: ReportInputs, name: str, member: str, studys: bool) -> Row:
    study = TABLE_4.get(learner_of(member)) if studys else None
    theirs = [Cell(thousands(study.n_parameters), study.n_parameters)] if study else []
    blank = [EMPTY] * (7 + studys - len(theirs))
    cells = (Cell(member_title(inputs, member, short=studys), member), *theirs, *blank)
    return Row(cells, "Base learners", missing=reason_unmade(inputs, name))


def _layer_cells(inputs: ReportInputs, one: Ensemble, member: str) -> tuple[Cell, ...]:
    """Return the layers of a member's refit, and the padding and activation of the study's."""
    # By its content: what was built again to the same bytes has another key.
    refit = inputs_of(one.folds).get(f"{member}/refit", {}).get("digest")
    counts: list[Cell] = [EMPTY] * 3
    for artifact in inputs.stage("training"):
        if artifact.reference.digest == refit:
            n_layers = training(artifact).layer_counts
            counts = [Cell(str(n), n, artifact=artifact.reference) for n in n_layers]
    study = TABLE_4.get(learner_of(member))
    style = Cell(f"{study.padding}, {study.activation}") if study else EMPTY
    return (*counts, style)
