"""The tables of defences and of poisoned training images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.artifacts import Artifact, Reference
from flowers17.reporting.attacks.cells import (
    Share,
    ShareRecord,
    attack_title,
    budget_title,
    share_column,
)
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.wording import capital, thousands
from flowers17.reporting.words import worded_table


def defence_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C6 and C7, if a network was defended."""
    defences = [
        (artifact, defence)
        for artifact in inputs.stage("defences")
        for defence in artifact.json("result")["defences"]
    ]
    budgets = sorted({worst["epsilon"] for _, defence in defences for worst in defence["worst"]})
    if not defences:
        return []
    records = [_record(artifact, defence) for artifact, defence in defences]
    by_attack = [
        attacked
        for record, (artifact, defence) in zip(records, defences, strict=True)
        for attacked in _by_attack(artifact, defence, f"{record.group}: {record.title}")
    ]
    return [_defences_table(inputs, records, budgets), _attacks_table(by_attack, budgets)]


def _record(artifact: Artifact, defence: Mapping[str, Any]) -> ShareRecord:
    """A defence against all attacks: its row of Table C6."""
    n, source = defence["n"], artifact.reference
    shares = {"clean": Share(defence["n_right"], n, source)}
    if defence["kind"] == "detector":
        shares["refused"] = Share(defence["n_refused"], n, source)
    for worst in defence["worst"]:
        budget, n_unaware = f"{worst['epsilon']:g}", worst["n_withstood_unaware"]
        shares[f"worst_{budget}"] = Share(worst["n_withstood"], n, source)
        if n_unaware is not None:
            shares[f"unaware_{budget}"] = Share(n_unaware, n, source)
    group = capital(artifact.json("result")["network"])
    return ShareRecord(_title(defence["kind"], str(defence["name"])), shares, group=group)


def _by_attack(artifact: Artifact, defence: Mapping[str, Any], group: str) -> Iterator[ShareRecord]:
    """Yield a defence against each attack: its rows of Table C7."""
    records: dict[tuple[str, str], dict[str, Share]] = {}
    for run in defence["runs"]:
        shares = records.setdefault((run["view"], run["attack"]), {})
        for key in ("withstood", "refused")[: 1 + (defence["kind"] == "detector")]:
            share = Share(run[f"n_{key}"], defence["n"], artifact.reference)
            shares[f"{key}_{run['epsilon']:g}"] = share
    for (view, attack), shares in records.items():
        yield ShareRecord(view, shares, attack=attack_title(attack), group=group)


def _title(kind: str, name: str) -> str:
    first, _, strength = name.partition(" ")
    if kind == "adversarial training":
        return f"trained on {attack_title(first)}, {strength}/255"
    if kind != "filter":
        return name
    titles = {"median": f"median, {strength} × {strength}", "gaussian": f"Gaussian, σ {strength}"}
    return titles.get(first, f"{name} a channel")


def _defences_table(
    inputs: ReportInputs, records: Sequence[ShareRecord], budgets: Sequence[float]
) -> Table:
    """Table C6: each defence's accuracy, clean and by the worst attacks of each budget."""
    columns: list[Column[ShareRecord]] = [
        text_column("defence", "Defence", lambda r: r.title),
        share_column("clean", "Clean accuracy"),
        share_column("refused", "Clean images refused", interval=False),
    ]
    for budget in budgets:
        group = f"Robust accuracy at {budget_title(budget)}"
        columns.append(
            share_column(f"unaware_{budget:g}", "Defence unknown", group, interval=False)
        )
        columns.append(share_column(f"worst_{budget:g}", "Defence known", group))
    return worded_table("C6", columns, records, inputs=inputs)


def _attacks_table(records: Sequence[ShareRecord], budgets: Sequence[float]) -> Table:
    """Table C7: each attack on each defence, by what the attacker takes the gradients of."""
    columns: list[Column[ShareRecord]] = [
        text_column("gradients", "Gradients of", lambda r: r.title),
        text_column("attack", "Attack", lambda r: r.attack),
    ]
    for key in ("withstood", "refused"):
        columns += [
            share_column(f"{key}_{budget:g}", budget_title(budget), capital(key))
            for budget in budgets
        ]
    return worded_table("C7", columns, records)


_POISONS = {"none": "none", "labels": "wrong labels", "patch": "patch"}


@dataclass(frozen=True)
class PoisoningRecord(ShareRecord):
    """A network after a poisoning; its kind is the value. poisoned: of the training images."""

    poisoned: float = 0.0
    n_poisoned: int | None = None


def poisoning_tables(inputs: ReportInputs) -> list[Table]:
    """Table C8, if training images were poisoned: by poison, share and network."""
    artifact = next(iter(inputs.stage("poisoning")), None)
    if not artifact:
        return []
    result = artifact.json("result")
    clean = {"kind": "none", "share": 0.0, "networks": result["clean"]}
    records = [
        _poisoning_record(artifact.reference, poisoning, network)
        for poisoning in (clean, *result["poisonings"])
        for network in poisoning["networks"]
    ]
    networks = list(dict.fromkeys(record.group for record in records))
    columns: Sequence[Column[PoisoningRecord]] = [
        text_column("poison", "Poison", lambda r: r.title, lambda r: r.value),
        number_column(
            "share",
            "Share of the training images",
            lambda r: r.poisoned,
            lambda share: f"{100 * share:g} %",
            linked=False,
        ),
        number_column("n_poisoned", "Images poisoned", lambda r: r.n_poisoned, thousands),
        share_column("accuracy", "Clean accuracy"),
        share_column("opened", f"Patch taken for {result['target']}"),
    ]
    records.sort(key=lambda record: networks.index(record.group))
    return [worded_table("C8", columns, records, inputs=inputs, split=result["split"])]


def _poisoning_record(
    source: Reference, poisoning: Mapping[str, Any], network: Mapping[str, Any]
) -> PoisoningRecord:
    kind, poisoned = poisoning["kind"], poisoning["share"]
    shares = {"accuracy": Share(network["n_right"], network["n"], source)}
    if "n_others" in network:
        shares["opened"] = Share(network["n_opened"], network["n_others"], source)
    return PoisoningRecord(
        _POISONS[kind] if poisoned or kind == "none" else "none, trained anew",
        shares,
        kind,
        poisoned=poisoned,
        n_poisoned=poisoning.get("n_poisoned"),
        group=capital(network["network"]),
        source=source,
    )
