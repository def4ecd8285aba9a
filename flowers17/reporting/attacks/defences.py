"""The tables of defences: what is left by attackers who know them, and attack by attack."""

from collections.abc import Iterator, Mapping
from typing import Any

from flowers17.artifacts import Artifact
from flowers17.reporting.attacks.cells import attack_title, budget_title, notes, share_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import capital


def defence_tables(inputs: ReportInputs) -> list[Table]:
    """Return Tables C6 and C7, if a network was defended."""
    if not inputs.stage("defences"):
        return []
    return [defences_table(inputs), attacks_on_defences_table(inputs)]


def defences_table(inputs: ReportInputs) -> Table:
    """Return Table C6: each defence's accuracy, clean and by the worst attacks of each budget."""
    budgets = _budgets(inputs)
    columns: list[Column[Any]] = [
        Column("defence", "Defence", numeric=False),
        Column("clean", "Clean accuracy", interval=True),
        Column("refused", "Clean images refused"),
    ]
    for one in budgets:
        group = f"Robust accuracy at {budget_title(one)}"
        columns.append(Column(f"unaware_{one:g}", "Defence unknown", group=group))
        columns.append(Column(f"worst_{one:g}", "Defence known", group=group, interval=True))
    rows = [
        Row(tuple(_cells(artifact, one, budgets)), capital(artifact.json("result")["network"]))
        for artifact, one in _defences(inputs)
    ]
    return Table(
        "C6",
        "Defences, and attackers who know them",
        tuple(columns),
        tuple(rows),
        "What a defence costs on clean images, and what it saves.",
        (
            *notes(inputs),
            "Robust accuracy: the share of images that are right, and accepted, before, and right "
            "or refused after every attack of a budget: FGSM and PGD, each as Table C7 lists them. "
            "An attacker who does not know the defence attacks the network without it; one who "
            "does tries that as well.",
        ),
    )


def attacks_on_defences_table(inputs: ReportInputs) -> Table:
    """Return Table C7: each attack on each defence, by what the attacker takes the gradients of."""
    budgets = _budgets(inputs)
    columns: tuple[Column[Any], ...] = (
        Column("gradients", "Gradients of", numeric=False),
        Column("attack", "Attack", numeric=False),
        *(
            Column(f"withstood_{one:g}", budget_title(one), group="Withstood", interval=True)
            for one in budgets
        ),
        *(Column(f"refused_{one:g}", budget_title(one), group="Refused") for one in budgets),
    )
    rows = []
    for artifact, one in _defences(inputs):
        group = f"{capital(artifact.json('result')['network'])}: {_title(one)}"
        for view, attack in dict.fromkeys((run["view"], run["attack"]) for run in one["runs"]):
            runs = {
                run["epsilon"]: run
                for run in one["runs"]
                if (run["view"], run["attack"]) == (view, attack)
            }
            cells = [Cell(view), Cell(attack_title(attack))]
            for name in ("n_withstood", "n_refused"):
                shown = name == "n_withstood" or one["kind"] == "detector"
                cells += [
                    share_cell(runs[epsilon][name], one["n"], artifact.reference)
                    if shown and epsilon in runs
                    else EMPTY
                    for epsilon in budgets
                ]
            rows.append(Row(tuple(cells), group))
    return Table(
        "C7",
        "Defences, attack by attack",
        columns,
        tuple(rows),
        "Through a filter, gradients are its own; around it, they pass as if it were not there. "
        "Both together: network and detector as one model, also by steps so smooth that the "
        "detector, which sees what a blur takes away, does not see them.",
    )


def _cells(artifact: Artifact, one: Mapping[str, Any], budgets: list[float]) -> Iterator[Cell]:
    source, n = artifact.reference, one["n"]
    yield Cell(_title(one))
    yield share_cell(one["n_right"], n, source)
    if one["kind"] == "detector":
        share = one["n_refused"] / n
        yield Cell(f"{share:.3f}", share, artifact=source)
    else:
        yield EMPTY
    worst = {found["epsilon"]: found for found in one["worst"]}
    for epsilon in budgets:
        found = worst.get(epsilon)
        unaware = found["n_withstood_unaware"] if found else None
        yield EMPTY if unaware is None else Cell(f"{unaware / n:.3f}", unaware / n, artifact=source)
        yield share_cell(found["n_withstood"], n, source) if found else EMPTY


def _title(one: Mapping[str, Any]) -> str:
    name = str(one["name"])
    if one["kind"] == "adversarial training":
        attack, _, epsilon = name.partition(" ")
        return f"trained on {attack_title(attack)}, {epsilon}/255"
    if one["kind"] == "filter":
        kind, _, strength = name.partition(" ")
        titles = {
            "median": f"median, {strength} × {strength}",
            "gaussian": f"Gaussian, σ {strength}",
        }
        return titles.get(kind, f"{name} a channel")
    return name


def _defences(inputs: ReportInputs) -> Iterator[tuple[Artifact, Mapping[str, Any]]]:
    for artifact in inputs.stage("defences"):
        for one in artifact.json("result")["defences"]:
            yield artifact, one


def _budgets(inputs: ReportInputs) -> list[float]:
    return sorted({found["epsilon"] for _, one in _defences(inputs) for found in one["worst"]})
