"""Table 4: what the ensembles are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers17.reporting.cells import value_cell
from flowers17.reporting.columns import compared_columns, number_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult, Member
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Training, inputs_of, training
from flowers17.reporting.reference import TABLE_4, LearnerShape, title_of
from flowers17.reporting.tables import Cell, Column, Record, Table
from flowers17.reporting.wording import thousands


@dataclass(frozen=True)
class MemberRecord(Record):
    """A member on one split, None if there are no predictions of it.

    shape: of the study's learner. refit: our network trained on all training images of the split.
    """

    name: str
    shape: LearnerShape | None
    member: Member | None = None
    refit: Training | None = None


def _layers(record: MemberRecord, index: int) -> Cell | None:
    if not record.refit:
        return None
    source = record.refit.artifact.reference
    return value_cell(record.refit.layer_counts[index], "d", source=source)


def _epochs(record: MemberRecord) -> str | None:
    epochs = record.member.epochs if record.member else None
    return None if epochs is None else ", ".join(map(str, epochs))


def _columns(ensemble: Ensemble) -> Sequence[Column[MemberRecord]]:
    parameters: Sequence[Column[MemberRecord]] = compared_columns(
        "parameters",
        "Parameters",
        lambda r: r.shape.n_parameters if r.shape else None,
        lambda r: r.member.n_parameters if r.member else None,
        thousands,
    )
    return [
        text_column("member", "Member", lambda r: ensemble.member_title(r.name), lambda r: r.name),
        *parameters,
        Column("convolutions", "Convolutions", lambda r: _layers(r, 0)),
        Column("poolings", "Pooling", lambda r: _layers(r, 1)),
        Column("dense", "Dense", lambda r: _layers(r, 2)),
        text_column(
            "style",
            "Padding, activation",
            lambda r: f"{r.shape.padding}, {r.shape.activation}" if r.shape and r.member else None,
        ),
        number_column("epochs", "Epoch kept, fold by fold", _epochs),
        number_column(
            "refit_epochs",
            "Epochs of the refit",
            lambda r: r.member.refit_epochs if r.member else None,
            "d",
        ),
    ]


def members_table(ensemble: Ensemble) -> Table:
    """Table 4 of an ensemble: layers and parameters of its members, epochs by fold."""
    n_folds = sorted({result.n_folds for result in ensemble.results})
    folds = " ".join([" or ".join(map(str, n_folds)), "folds"]).strip()
    return Table(
        f"4{ensemble.suffix}",
        title_of("table", 4) if ensemble.is_study else f"The members of {ensemble.title}",
        ensemble.shown(_columns(ensemble)),
        list(_records(ensemble)),
        lead=f"The training images of a split are divided into {folds}, the same for every "
        "member: stratified, and near-duplicates together.",
        notes=(*_epoch_notes(ensemble), *ensemble.notes),
    )


def _records(ensemble: Ensemble) -> Iterator[MemberRecord]:
    shapes = {name: TABLE_4.get(ensemble.learner(name)) for name in ensemble.members}
    for result in ensemble.results:
        group, tag, source = ensemble.heading(result), ensemble.tag, result.folds.reference
        for member in result.members:
            name, refit = member.name, _refit(ensemble.inputs, result, member.name)
            yield MemberRecord(
                name, shapes[name], member, refit, group=group, tag=tag, source=source
            )
    for name in () if ensemble.results else ensemble.members:
        missing = ensemble.reason_absent()
        yield MemberRecord(name, shapes[name], group="Base learners", missing=missing)


def _refit(inputs: ReportInputs, result: EnsembleResult, member: str) -> Training | None:
    # By its content: a network built again to the same bytes has another key.
    digest = inputs_of(result.folds).get(f"{member}/refit", {}).get("digest")
    trainings = (a for a in inputs.stage("training") if a.reference.digest == digest)
    artifact = next(trainings, None)
    return training(artifact) if artifact else None


def _epoch_notes(ensemble: Ensemble) -> Iterator[str]:
    """Yield how the epochs were chosen, of the networks that there are."""
    members = [member for result in ensemble.results for member in result.members if member.epochs]
    settings = [ensemble.settings.get(member.name) for member in members]
    recipes = {member.recipe for member in settings if member}
    if "report" in recipes:
        yield (
            "By the recipe “report” a fold’s model keeps the epoch with the lowest loss on a part "
            "cut from the fold’s own training images; the refit is trained for their mean."
        )
    if "best" in recipes:
        yield "By the recipe “best” a model keeps its last epoch: no image chooses it."
