"""Table C5: whether the attacks themselves can be believed, after the field's checklist."""

from collections.abc import Iterator

import numpy as np

from flowers17.reporting.attacks.cells import AttackedModel, attack_title, attacked_models
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.columns import text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Cell, Column, RecordOf, Table
from flowers17.reporting.wording import true_minus
from flowers17.reporting.words import worded_table
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

_COLUMNS: tuple[Column[RecordOf[Check]], ...] = (
    text_column("check", "What must hold", lambda r: r.of.name),
    Column(
        "measured",
        "Measured",
        lambda r: Cell(true_minus(r.of.measured), r.of.value, artifact=r.source),
        numeric=False,
    ),
    text_column("verdict", "Verdict", lambda r: "holds" if r.of.holds else "does not hold"),
)


def sanity_table(inputs: ReportInputs) -> Table:
    """Table C5: of each network, each check, what was measured, and the verdict."""
    records = [
        RecordOf(check, group=model.title, source=attack.artifact.reference)
        for model in attacked_models(inputs)
        for check, attack in checks(inputs, model)
    ]
    return worded_table("C5", _COLUMNS, records, slack=f"{SLACK:.0%}")


def checks(inputs: ReportInputs, model: AttackedModel) -> Iterator[tuple[Check, Attack]]:
    """Yield the checks that a model's attacks allow, each with the attack that it rests on."""
    swept = model.swept
    robust = {name: [run.robust_accuracy for run in attack.runs] for name, attack in swept.items()}
    fgsm, pgd = swept.get("fgsm"), swept.get("pgd")
    for attack in filter(None, (fgsm, pgd)):
        shares = [n_right / n for n_right, n in attack.by_budget.values()]
        yield grows(shares, attack_title(attack.name)), attack
    if pgd:
        yield reaches_all(robust["pgd"], pgd.runs[-1].epsilon or 0.0, "PGD"), pgd
    for stronger, weaker in (("pgd", "fgsm"), ("fgsm", "noise"), ("pgd", "noise")):
        if stronger in swept and weaker in swept:
            titles = attack_title(stronger), attack_title(weaker)
            yield at_least_as_strong(robust[stronger], robust[weaker], titles), swept[stronger]
    if pgd:
        for check in _checks_of_pgd(inputs, model, pgd):
            yield check, pgd
    if fgsm:
        zero = fgsm.artifact.array("zero_gradient")
        yield no_zero_gradients(int(zero.sum()), len(zero)), fgsm


def _checks_of_pgd(inputs: ReportInputs, model: AttackedModel, pgd: Attack) -> Iterator[Check]:
    """Yield whether it beats transfer and the black box, and whether it has converged."""
    transferred = {
        f"{attack_title(source['attack'])} on {source['model']}": source["n_withstood"][
            transfer.victims.index(model.name)
        ]
        / transfer.n_images
        for transfer in inputs.transfers
        if model.name in transfer.victims
        for source in transfer.sources
        if source["model"] != model.name
    }
    if transferred:
        yield beats_transfer(pgd.main.robust_accuracy, transferred)
    pixel = model.attack("one_pixel")
    if pixel and pixel.main.n_right:  # else there is nothing to compare
        shared = np.isin(pgd.rows, pixel.rows)
        withstood = pgd.right & ~pgd.fooled(pgd.runs[-1])
        yield beats_black_box(float(withstood[shared].mean()), pixel.main.robust_accuracy)
    doubled = pgd.artifact.array("doubled")
    changed = [
        float(np.mean(doubled[:, run.index] != pgd.column("predicted", run))) for run in pgd.runs
    ]
    worst = int(np.argmax(changed))
    yield converged(changed[worst], pgd.runs[worst].epsilon or 0.0)
