"""Tables C9 and C10, Figure C4: surrogates that learned models from their answers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.attacks.cells import (
    attack_title,
    budget_title,
    model_title,
    share_cell,
    withstanding,
)
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Record
from flowers17.reporting.drawing import from_template
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import inputs_of
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import trained_tag
from flowers17.reporting.wording import capital
from flowers17.reporting.words import worded_table

NOT_SHOWN = -1


def exploratory_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C9 and C10, if a surrogate learned any model."""
    artifacts = _surrogates(inputs)
    learned = [record for artifact in artifacts for record in _learned(inputs, artifact)]
    shown = [record for artifact in artifacts for record in _shown(inputs, artifact)]
    tables = [
        worded_table("C9", learned, inputs=inputs),
        worded_table("C10", shown, inputs=inputs),
    ]
    return tables if artifacts else []


def fidelity_figure(inputs: ReportInputs) -> Figure | None:
    """Figure C4: fidelity by queries, a panel for each model; None without surrogates."""
    artifacts = _surrogates(inputs)
    if not artifacts:
        return None
    by_model = [_learned(inputs, artifact) for artifact in artifacts]
    panels = []
    for records in by_model:
        cells = [record.values["fidelity"] for record in records]
        curve = [(number, cell.value, cell.interval) for number, cell in enumerate(cells)]
        panels.append((shortened(records[0].group, 60), [("fidelity", curve)]))
    queries = [f"{record.values['n_queries']:,}" for record in max(by_model, key=len)]
    values = {"budgets": queries, "names": {"fidelity": "fidelity"}, "panels": panels}
    text = from_template("budgets.svg", **values, axis="queries")
    return drawn("C4", text, tuple(artifact.reference for artifact in artifacts), behind="C9")


def _surrogates(inputs: ReportInputs) -> list[Artifact]:
    """What surrogates learned, of networks first, as in the other tables."""
    artifacts = inputs.stage("exploratory")
    return sorted(artifacts, key=lambda artifact: artifact.json("result")["kind"] != "network")


def _heading(inputs: ReportInputs, artifact: Artifact) -> dict[str, Any]:
    """The model that a surrogate learned, and the warning that belongs to its numbers."""
    untrained = inputs_of(artifact)["model"]["stage"] != "training" and inputs.has_random_weights
    title = capital(model_title(artifact.json("result")["model"]))
    return {"group": title, "tag": trained_tag(untrained)}


def _learned(inputs: ReportInputs, artifact: Artifact) -> list[Record]:
    """What a surrogate had learned after each round."""
    result, answers = artifact.json("result"), artifact.array("predicted")[:, 0, 0]
    n_agreed = (answers == artifact.array("learned").T).sum(axis=1).tolist()
    shares = [share_cell(n, len(answers), artifact.reference) for n in n_agreed]
    return [
        Record({"n_queries": n_queries, "fidelity": share}, **_heading(inputs, artifact))
        for n_queries, share in zip(result["n_queries"], shares, strict=True)
    ]


def _shown(inputs: ReportInputs, artifact: Artifact) -> Iterator[Record]:
    """Yield who is right before any attack, after each attack, and after all of them."""
    result, rows = artifact.json("result"), artifact.array("rows")
    predicted, labels = artifact.array("predicted"), artifact.array("labels")
    shown = predicted[:, :, 0] != NOT_SHOWN
    right = (predicted == labels[:, None, None]) | ~shown[:, :, None]

    def record(title: str, after: np.ndarray, budget: float | None = None, **own: Cell) -> Record:
        pairs = zip(("target", "surrogate"), after.sum(axis=0).tolist(), strict=True)
        shares = {key: share_cell(n, len(after), artifact.reference) for key, n in pairs}
        budget_cell = Cell(budget_title(budget), budget)
        values = {"attack": title, "budget": budget_cell, **shares, **own}
        return Record(values, **_heading(inputs, artifact))

    yield record("nothing: accuracy", right[:, 0])
    own = {
        (attack.name, run.epsilon): (attack, run)
        for attack in inputs.attacks
        for run in attack.runs
        if attack.model == result["model"]
    }
    budgets = result["settings"]["exploratory"]["budgets"]
    runs = [(name, budget) for name in ("fgsm", "pgd") for budget in budgets]
    for number, (name, budget) in enumerate([*runs, ("jsma", None)], start=1):
        images, white_box = shown[:, number], {}
        if (name, budget) in own:
            attack, run = own[name, budget]
            white_box["white_box"] = withstanding(attack, rows[images], attack.fallen_rows(run))
        after = (right[:, 0] & right[:, number])[images]
        yield record(capital(attack_title(name)), after, budget, **white_box)
    yield record("all of them", right.all(axis=1))
