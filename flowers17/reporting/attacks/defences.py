"""The tables of defences, of their differences, and of poisoned training images."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, Reference
from flowers17.reporting.attacks.cells import attack_title, budget_title, share_cell
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import LEVEL, comparison_values, paired_comparisons
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import capital
from flowers17.reporting.words import worded_table

# Of these shares the tables show no interval.
_PLAIN = ("refused", "unaware")


def defence_tables(inputs: ReportInputs) -> list[Table]:
    """Table C6, each defence by the worst attacks of each budget, C6-paired and C7, by attacks.

    None if no network was defended.
    """
    defences = [
        (artifact, defence)
        for artifact in inputs.stage("defences")
        for defence in artifact.json("result")["defences"]
    ]
    budgets = sorted({worst["epsilon"] for _, defence in defences for worst in defence["worst"]})
    if not defences:
        return []
    by_budget, by_attack = [], []
    for budget in budgets:
        group = f"Robust accuracy at {budget_title(budget)}"
        by_budget.append(Column(f"unaware_{budget:g}", "Defence unknown", group=group))
        by_budget.append(Column(f"worst_{budget:g}", "Defence known", group=group, interval=True))
    for key in ("withstood", "refused"):
        group = capital(key)
        by_attack += [
            Column(f"{key}_{budget:g}", budget_title(budget), group=group, interval=True)
            for budget in budgets
        ]
    records = [_record(artifact, defence) for artifact, defence in defences]
    single = [record for entry in defences for record in _by_attack(*entry)]
    return [
        worded_table("C6", records, columns=by_budget, inputs=inputs),
        _paired_table(inputs.stage("defences")),
        worded_table("C7", single, columns=by_attack),
    ]


def _record(artifact: Artifact, defence: Mapping[str, Any]) -> Record:
    """A defence against all attacks: its row of Table C6."""
    counts = {"clean": defence["n_right"]}
    if defence["kind"] == "detector":
        counts["refused"] = defence["n_refused"]
    for worst in defence["worst"]:
        counts[f"worst_{worst['epsilon']:g}"] = worst["n_withstood"]
        if worst["n_withstood_unaware"] is not None:
            counts[f"unaware_{worst['epsilon']:g}"] = worst["n_withstood_unaware"]
    values: dict[str, Any] = {"defence": _title(defence)}
    for key, count in counts.items():
        cell = share_cell(count, defence["n"], artifact.reference)
        values[key] = replace(cell, interval=None) if key.startswith(_PLAIN) else cell
    return Record(values, group=capital(artifact.json("result")["network"]))


def _paired_table(artifacts: Iterable[Artifact]) -> Table:
    """Table C6-paired: each defence against what it began from, and the best against the others."""
    pairs = [(artifact, *pair) for artifact in artifacts for pair in _pairs(artifact)]
    comparisons = paired_comparisons((first, second) for *_, first, second in pairs)
    records = []
    for (artifact, budget, titles, *_), comparison in zip(pairs, comparisons, strict=True):
        network = capital(artifact.json("result")["network"])
        values = {
            **dict(zip(("first", "second"), titles, strict=True)),
            **comparison_values(comparison, "only_first", "only_second"),
            "judged": comparison.verdict,
        }
        group = f"{network}: {f'at {budget_title(budget)}' if budget else 'clean images'}"
        records.append(Record(values, group=group, source=artifact.reference))
    return worded_table("C6-paired", records, comparisons=comparisons, level=LEVEL)


def _pairs(artifact: Artifact) -> Iterator[tuple[float, tuple[str, str], np.ndarray, np.ndarray]]:
    """Yield a budget, two titles, and bool (n,) of either: whether each image withstands."""
    defences = artifact.json("result")["defences"]
    kinds = [defence["kind"] for defence in defences]
    control = kinds.index("control") if "control" in kinds else 0
    origins = [control if kind == "adversarial training" else 0 for kind in kinds]
    defended = [number for number, kind in enumerate(kinds) if kind not in ("none", "control")]
    for budget in (0.0, *(worst["epsilon"] for worst in defences[0]["worst"])):
        withstood = []
        for number, defence in enumerate(defences):
            runs = [run["epsilon"] == budget for run in defence["runs"]]
            right = artifact.array(f"{number:02d}-before") == artifact.array("labels")
            withstood.append(right & artifact.array(f"{number:02d}-withstood")[:, runs].all(axis=1))
        best = max(defended, key=lambda number: withstood[number].sum(), default=0)
        pairs = list(enumerate(origins))[1:] + [
            (best, rival) for rival in defended if rival != best
        ]
        for first, second in pairs:
            titles = _title(defences[first]), _title(defences[second])
            yield budget, titles, withstood[first], withstood[second]


def _by_attack(artifact: Artifact, defence: Mapping[str, Any]) -> Iterator[Record]:
    """Yield a defence against each attack: its rows of Table C7."""
    by_attack: dict[tuple[str, str], dict[str, Any]] = {}
    for run in defence["runs"]:
        values = by_attack.setdefault((run["view"], run["attack"]), {})
        for key in ("withstood", "refused")[: 1 + (defence["kind"] == "detector")]:
            cell = share_cell(run[f"n_{key}"], defence["n"], artifact.reference)
            values[f"{key}_{run['epsilon']:g}"] = cell
    group = f"{capital(artifact.json('result')['network'])}: {_title(defence)}"
    for (view, attack), values in by_attack.items():
        yield Record({"gradients": view, "attack": attack_title(attack), **values}, group=group)


def _title(defence: Mapping[str, Any]) -> str:
    kind, name = defence["kind"], str(defence["name"])
    if kind == "control":
        return "none, trained anew"
    first, _, strength = name.partition(" ")
    if kind == "adversarial training":
        return f"trained on {attack_title(first)}, {strength}/255"
    if kind != "filter":
        return name
    titles = {"median": f"median, {strength} × {strength}", "gaussian": f"Gaussian, σ {strength}"}
    return titles.get(first, f"{name} a channel")


_POISONS = {"none": "none", "labels": "wrong labels", "patch": "patch"}


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
    records.sort(key=lambda record: networks.index(record.group))
    opened = Column("opened", f"Patch taken for {result['target']}", interval=True)
    return [worded_table("C8", records, columns=[opened], inputs=inputs, split=result["split"])]


def _poisoning_record(
    source: Reference, poisoning: Mapping[str, Any], network: Mapping[str, Any]
) -> Record:
    kind, share = poisoning["kind"], poisoning["share"]
    values = {
        "poison": Cell(_POISONS[kind] if share or kind == "none" else "none, trained anew", kind),
        "share": Cell(f"{100 * share:g} %", share),
        "n_poisoned": poisoning.get("n_poisoned"),
        "accuracy": share_cell(network["n_right"], network["n"], source),
    }
    if "n_others" in network:
        values["opened"] = share_cell(network["n_opened"], network["n_others"], source)
    return Record(values, group=capital(network["network"]), source=source)
