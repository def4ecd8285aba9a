"""Table C5: whether the attacks themselves can be believed, after the field's checklist."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flowers17.reporting.attacks.cells import attack_on, attack_title, model_title, models_of
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.tables import Cell, Column, Row, Table
from flowers17.reporting.wording import capital
from flowers17.robustness.sanity import (
    SLACK,
    Check,
    at_least_as_strong,
    beats_black_box,
    beats_transfer,
    converged,
    grows,
    no_zero_gradients,
    reaches_all,
)


def sanity_table(inputs: ReportInputs) -> Table:
    """Return Table C5: of each network, each check, what was measured, and the verdict."""
    columns: tuple[Column[Any], ...] = (
        Column("check", "What must hold", numeric=False),
        Column("measured", "Measured", numeric=False),
        Column("verdict", "Verdict", numeric=False),
    )
    rows = []
    for model in models_of(inputs):
        for check, used in checks(inputs, model):
            cells = (
                Cell(check.name),
                Cell(check.measured, check.value, artifact=used.artifact.reference),
                Cell("holds" if check.holds else "does not hold"),
            )
            rows.append(Row(cells, capital(model_title(model))))
    return Table(
        "C5",
        "Checks of the attacks themselves",
        columns,
        tuple(rows),
        "An attack that fails one of these says more about itself than about the model.",
        (
            f"A difference of up to {SLACK:.0%} of the images is let pass as chance. Source: "
            "Carlini et al. 2019, On Evaluating Adversarial Robustness.",
        ),
    )


def checks(inputs: ReportInputs, model: str) -> Iterator[tuple[Check, Attack]]:
    """Yield the checks that a model's attacks allow, each with the attack that it rests on."""
    swept = {
        name: found
        for name in ("noise", "fgsm", "pgd")
        if (found := attack_on(inputs, model, name))
    }
    robust = {name: [run.robust_accuracy for run in one.runs] for name, one in swept.items()}
    for name in ("fgsm", "pgd"):
        if name in swept:
            one, title = swept[name], attack_title(name)
            yield grows([one.runs[0].n_right / one.runs[0].n, *robust[name]], title), one
    if "pgd" in swept:
        one = swept["pgd"]
        yield reaches_all(robust["pgd"], one.runs[-1].epsilon or 0.0, "PGD"), one
    for stronger, weaker in (("pgd", "fgsm"), ("fgsm", "noise"), ("pgd", "noise")):
        if stronger in swept and weaker in swept:
            titles = attack_title(stronger), attack_title(weaker)
            yield at_least_as_strong(robust[stronger], robust[weaker], titles), swept[stronger]
    if "pgd" in swept:
        yield from _against_others(inputs, model, swept["pgd"])
        yield _converged(swept["pgd"]), swept["pgd"]
    if "fgsm" in swept:
        zero = swept["fgsm"].artifact.array("zero_gradient")
        yield no_zero_gradients(int(zero.sum()), len(zero)), swept["fgsm"]


def _against_others(
    inputs: ReportInputs, model: str, pgd: Attack
) -> Iterator[tuple[Check, Attack]]:
    transferred = {
        f"{attack_title(source['attack'])} on {source['model']}": source["n_withstood"][
            one.victims.index(model)
        ]
        / one.result["n_images"]
        for one in inputs.transfers
        if model in one.victims
        for source in one.sources
        if source["model"] != model
    }
    if transferred:
        yield beats_transfer(pgd.main.robust_accuracy, transferred), pgd
    pixel = attack_on(inputs, model, "one_pixel")
    if pixel and pixel.main.n_right:  # else there is nothing to compare
        shared = np.isin(pgd.rows, pixel.rows)
        stood = pgd.right & ~pgd.fooled(pgd.runs[-1])
        yield beats_black_box(float(stood[shared].mean()), pixel.main.robust_accuracy), pgd


def _converged(pgd: Attack) -> Check:
    doubled = pgd.artifact.array("doubled")
    shares = [
        float(np.mean(doubled[:, run.place] != pgd.column("predicted", run))) for run in pgd.runs
    ]
    worst = int(np.argmax(shares))
    return converged(shares[worst], pgd.runs[worst].epsilon or 0.0)
