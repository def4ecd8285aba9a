"""Tables 4 and 6: what the ensembles are made of, and what each member contributes."""

from collections.abc import Iterator
from typing import Any

from flowers17.reporting.cells import Cell, value_cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult, Member
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Training, inputs_of, training
from flowers17.reporting.reference import TABLE_4, TABLE_6
from flowers17.reporting.tables import Table


def members_table(ensemble: Ensemble) -> Table:
    """Table 4 of an ensemble: layers and parameters of its members, epochs by fold."""
    n_folds = sorted({result.n_folds for result in ensemble.results})
    folds = " ".join([" or ".join(map(str, n_folds)), "folds"]).strip()
    members = [member for result in ensemble.results for member in result.members]
    networks = [ensemble.settings.get(member.name) for member in members if member.epochs]
    return ensemble.table(
        "4",
        list(_member_records(ensemble)),
        folds=folds,
        recipes={settings.recipe for settings in networks if settings},
    )


def _member_records(ensemble: Ensemble) -> Iterator[Record]:
    for result in ensemble.results:
        group, tag, source = ensemble.heading(result), ensemble.tag, result.folds.reference
        for member in result.members:
            values = _member_values(ensemble, result, member)
            yield Record(values, group=group, tag=tag, source=source)
    for name in () if ensemble.results else ensemble.members:
        shape = TABLE_4.get(ensemble.learner(name))
        values = {**_title(ensemble, name), "study_parameters": shape and shape.n_parameters}
        yield Record(values, group="Base learners", missing=ensemble.reason_absent())


def _title(ensemble: Ensemble, name: str) -> dict[str, Any]:
    return {"member": Cell(ensemble.member_title(name), name)}


def _member_values(ensemble: Ensemble, result: EnsembleResult, member: Member) -> dict[str, Any]:
    """What a member is made of; its layers are those of its network on all training images."""
    values = {
        **_title(ensemble, member.name),
        "parameters": member.n_parameters,
        "epochs": None if member.epochs is None else ", ".join(map(str, member.epochs)),
        "refit_epochs": member.refit_epochs,
    }
    if shape := TABLE_4.get(ensemble.learner(member.name)):
        values["study_parameters"] = shape.n_parameters
        values["style"] = f"{shape.padding}, {shape.activation}"
    if refit := _refit(ensemble.inputs, result, member.name):
        source, kinds = refit.artifact.reference, ("convolutions", "poolings", "dense")
        for kind, count in zip(kinds, refit.layer_counts, strict=True):
            values[kind] = value_cell(count, "d", source=source)
    return values


def _refit(inputs: ReportInputs, result: EnsembleResult, member: str) -> Training | None:
    # By its content: a network built again to the same bytes has another key.
    digest = inputs_of(result.folds).get(f"{member}/refit", {}).get("digest")
    trainings = (a for a in inputs.stage("training") if a.reference.digest == digest)
    artifact = next(trainings, None)
    return training(artifact) if artifact else None


def importances_table(ensemble: Ensemble) -> Table:
    """Table 6 of an ensemble: importance of each member, measured three ways."""
    records = []
    for result in ensemble.combined:
        for name in ensemble.members:
            values = {**_importance_title(ensemble, name), **_measures(result, name)}
            records.append(ensemble.record(values, result))
    for name in ensemble.members if ensemble.is_study and not ensemble.combined else ():
        values, missing = _importance_title(ensemble, name), ensemble.reason_absent()
        records.append(Record(values, group="Base learners", missing=missing))
    return ensemble.table("6", records)


def _importance_title(ensemble: Ensemble, name: str) -> dict[str, Any]:
    return {**_title(ensemble, name), "study_impurity": TABLE_6.get(ensemble.learner(name))}


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
            "left_out_drop": forest["average"].accuracy - left_out,
        }
    return measures


def classes_table(ensemble: Ensemble, result: EnsembleResult) -> Table:
    """Table 6-classes of an ensemble: which member helps which class, on one split.

    Two numbers of each member: the drop in the class's recall if its outputs are shuffled, and the
    logistic regression's weight of its own probability of the class.
    """
    names, members, columns = result.classes, list(ensemble.members), []
    for key, group, is_measured in (
        ("drop", "Drop in recall, its outputs shuffled", bool(result.importances)),
        ("weight", "Weight of its own output", bool(result.coefficients)),
    ):
        for name in members if is_measured else ():
            title = ensemble.member_title(name, short=True)
            columns.append(Column(f"{key}_{name}", title, "+.3f", group))
    records = []
    for label, of_class in enumerate(names):
        values: dict[str, Any] = {"class": Cell(of_class, of_class)}
        for index, name in enumerate(members):
            if result.importances:
                values[f"drop_{name}"] = result.importances["per_class"][of_class][name]
            if result.coefficients:
                own_output = index * len(names) + label
                values[f"weight_{name}"] = result.coefficients[label][own_output]
        records.append(Record(values, tag=ensemble.tag, source=result.reference))
    return ensemble.table(
        "6-classes",
        records if columns else [],
        "-classes",
        columns=columns,
        split=result.split_title,
    )
