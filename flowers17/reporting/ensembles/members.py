"""Tables 4 and 6: what the ensembles are made of, and what each member contributes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowers17.reporting.cells import value_cell
from flowers17.reporting.columns import Form, compared_columns, number_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult, Member
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Training, inputs_of, training
from flowers17.reporting.reference import TABLE_4, TABLE_6, LearnerShape
from flowers17.reporting.tables import Cell, Column, Record, RecordOf, Table
from flowers17.reporting.wording import signed, thousands
from flowers17.reporting.words import worded_table


@dataclass(frozen=True)
class MemberRecord(Record):
    """A member on one split, None if there are no predictions of it.

    refit: our network trained on all training images of the split.
    """

    name: str
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


def _shape_columns(ensemble: Ensemble) -> Sequence[Column[MemberRecord]]:
    def shape(record: MemberRecord) -> LearnerShape | None:
        return TABLE_4.get(ensemble.learner(record.name))

    def style(record: MemberRecord) -> str | None:
        known = shape(record) if record.member else None
        return f"{known.padding}, {known.activation}" if known else None

    parameters: Sequence[Column[MemberRecord]] = compared_columns(
        "parameters",
        "Parameters",
        lambda r: known.n_parameters if (known := shape(r)) else None,
        lambda r: r.member.n_parameters if r.member else None,
        thousands,
    )
    return [
        text_column("member", "Member", lambda r: ensemble.member_title(r.name), lambda r: r.name),
        *parameters,
        Column("convolutions", "Convolutions", lambda r: _layers(r, 0)),
        Column("poolings", "Pooling", lambda r: _layers(r, 1)),
        Column("dense", "Dense", lambda r: _layers(r, 2)),
        text_column("style", "Padding, activation", style),
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
    members = [member for result in ensemble.results for member in result.members]
    networks = [ensemble.settings.get(member.name) for member in members if member.epochs]
    return worded_table(
        "4",
        ensemble.shown(_shape_columns(ensemble)),
        list(_member_records(ensemble)),
        number=f"4{ensemble.suffix}",
        ensemble=ensemble,
        folds=folds,
        recipes={settings.recipe for settings in networks if settings},
    )


def _member_records(ensemble: Ensemble) -> Iterator[MemberRecord]:
    for result in ensemble.results:
        group, tag, source = ensemble.heading(result), ensemble.tag, result.folds.reference
        for member in result.members:
            name, refit = member.name, _refit(ensemble.inputs, result, member.name)
            yield MemberRecord(name, member, refit, group=group, tag=tag, source=source)
    for name in () if ensemble.results else ensemble.members:
        missing = ensemble.reason_absent()
        yield MemberRecord(name, group="Base learners", missing=missing)


def _refit(inputs: ReportInputs, result: EnsembleResult, member: str) -> Training | None:
    # By its content: a network built again to the same bytes has another key.
    digest = inputs_of(result.folds).get(f"{member}/refit", {}).get("digest")
    trainings = (a for a in inputs.stage("training") if a.reference.digest == digest)
    artifact = next(trainings, None)
    return training(artifact) if artifact else None


# Each a key of the measures, with its column's title and form.
_MEASURES: tuple[tuple[str, str, Form], ...] = (
    ("permutation", "Permutation: drop in accuracy", signed),
    ("permutation_spread", "± s.d.", ".3f"),
    ("left_out", "Accuracy without it", ".3f"),
    ("left_out_drop", "Drop", signed),
    ("weight", "Weight in the weighted average", ".3f"),
)


@dataclass(frozen=True)
class ImportanceRecord(Record):
    """A member by name, with what was measured of its importance on one split."""

    name: str
    measures: Mapping[str, float]


def _columns(ensemble: Ensemble) -> Sequence[Column[ImportanceRecord]]:
    def measure(key: str) -> Callable[[ImportanceRecord], float | None]:
        return lambda record: record.measures.get(key)

    def study(record: ImportanceRecord) -> float | None:
        return TABLE_6.get(ensemble.learner(record.name))

    return [
        text_column("member", "Member", lambda r: ensemble.member_title(r.name), lambda r: r.name),
        *compared_columns("impurity", "Impurity importance", study, measure("impurity")),
        *(number_column(key, title, measure(key), form) for key, title, form in _MEASURES),
    ]


def importances_table(ensemble: Ensemble) -> Table:
    """Table 6 of an ensemble: importance of each member, measured three ways."""
    return worded_table(
        "6",
        ensemble.shown(_columns(ensemble)),
        list(_records(ensemble)),
        number=f"6{ensemble.suffix}",
        ensemble=ensemble,
    )


def _records(ensemble: Ensemble) -> Iterator[ImportanceRecord]:
    for result in ensemble.combined:
        group, tag, source = ensemble.heading(result), ensemble.tag, result.reference
        for name in ensemble.members:
            measures = _measures(result, name)
            yield ImportanceRecord(name, measures, group=group, tag=tag, source=source)
    for name in ensemble.members if ensemble.is_study and not ensemble.combined else ():
        missing = ensemble.reason_absent()
        yield ImportanceRecord(name, {}, group="Base learners", missing=missing)


def _measures(result: EnsembleResult, name: str) -> dict[str, float]:
    forest, importances = result.outcomes.get("random_forest"), result.importances
    measures = {"weight": result.weights[name]} if result.weights else {}
    if forest and importances:
        left_out = importances["left_out"][name] / len(result.rows)
        measures |= {
            "impurity": result.impurity[name],
            "permutation": importances["permutation"][name]["mean"],
            "permutation_spread": importances["permutation"][name]["spread"],
            "left_out": left_out,
            "left_out_drop": forest.average.accuracy - left_out,
        }
    return measures


def classes_table(ensemble: Ensemble, result: EnsembleResult) -> Table:
    """Table 6-classes of an ensemble: which member helps which class, on one split.

    Two numbers of each member: the drop in the class's recall if its outputs are shuffled, and the
    logistic regression's weight of its own probability of the class.
    """
    names = result.classes
    columns: list[Column[RecordOf[int]]] = [
        text_column("class", "Class", lambda r: names[r.of], lambda r: names[r.of])
    ]
    if result.importances:
        group, drops = "Drop in recall, its outputs shuffled", result.importances["per_class"]
        columns += _member_columns(
            ensemble, "drop", group, lambda name: lambda r: drops[names[r.of]][name]
        )
    if result.coefficients:
        members, c = list(ensemble.members), len(names)
        columns += _member_columns(
            ensemble,
            "weight",
            "Weight of its own output",
            lambda name: lambda r: result.coefficients[r.of][members.index(name) * c + r.of],
        )
    records = [
        RecordOf(label, tag=ensemble.tag, source=result.reference) for label in range(len(names))
    ]
    return worded_table(
        "6-classes",
        columns,
        records if len(columns) > 1 else [],
        number=f"6{ensemble.suffix}-classes",
        ensemble=ensemble,
        split=result.split_title,
    )


def _member_columns(
    ensemble: Ensemble,
    key: str,
    group: str,
    value: Callable[[str], Callable[[RecordOf[int]], float]],
) -> list[Column[RecordOf[int]]]:
    """A column of each member. value: of a member's name, what takes a class to a number."""
    return [
        number_column(
            f"{key}_{name}",
            ensemble.member_title(name, short=True),
            value(name),
            signed,
            group=group,
        )
        for name in ensemble.members
    ]
