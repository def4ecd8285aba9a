"""Table C5: whether the attacks themselves can be believed, by properties of their own numbers.

Source: Carlini et al. 2019, arXiv:1902.06705, section 3, the checklist.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from flowers17.reporting.attacks.cells import AttackedModel, attack_title, attacked_models
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import true_minus
from flowers17.reporting.words import text, worded_table

SLACK = 0.02  # share of the images by which an attack may do worse by chance


@dataclass(frozen=True)
class Check:
    """A property that a sound attack has, the measurement, and the verdict.

    value: the share or count that decides; it must not exceed `limit`.
    """

    name: str
    measured: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


def sanity_table(inputs: ReportInputs) -> Table:
    """Table C5: of each network, each check, what was measured, and the verdict."""
    records = [
        Record(
            {
                "check": check.name,
                "measured": Cell(
                    true_minus(check.measured), check.value, artifact=attack.artifact.reference
                ),
                "verdict": "holds" if check.holds else "does not hold",
            },
            group=model.title,
        )
        for model in attacked_models(inputs)
        for check, attack in checks(inputs, model)
    ]
    return worded_table("C5", records, slack=f"{SLACK:.0%}")


def check(kind: str, value: float, limit: float = SLACK, **words: Any) -> Check:
    """Check of a kind that `words/attacks.yaml` names, with what its texts are rendered with."""
    name, measured = (
        text(f"check {kind}", part, value=value, **words) for part in ("name", "measured")
    )
    return Check(name, measured, value, limit)


def grows(robust: Sequence[float], attack: str) -> Check:
    """Check that success grows with the budget.

    robust: robust accuracies by ascending budget, first that of budget 0.
    """
    rises = [later - sooner for sooner, later in pairwise(robust)]
    return check("grows", max([0.0, *rises]), attack=attack)


def at_least_as_strong(
    stronger: Sequence[float], weaker: Sequence[float], names: tuple[str, str]
) -> Check:
    """Check that one attack leaves no higher robust accuracy than another, budget by budget.

    stronger, weaker: robust accuracies on the same images. names: of the two attacks.
    """
    worst = max(strong - weak for strong, weak in zip(stronger, weaker, strict=True))
    return check("at least as strong", worst, names=names)


def beats_transfer(own: float, transferred: Mapping[str, float]) -> Check:
    """Check that gradients of the victim do more than those of a surrogate.

    own: robust accuracy under PGD; transferred: under images of surrogates, by name.
    """
    best = min(transferred, key=lambda name: transferred[name])
    least = transferred[best]
    return check("beats transfer", own - least, own=own, least=least, best=best)


def checks(inputs: ReportInputs, model: AttackedModel) -> Iterator[tuple[Check, Attack]]:
    """Yield the checks that a model's attacks allow, each with the attack that it rests on."""
    swept = model.swept
    robust = {name: [run.robust_accuracy for run in attack.runs] for name, attack in swept.items()}
    fgsm, pgd = swept.get("fgsm"), swept.get("pgd")
    for attack in filter(None, (fgsm, pgd)):
        shares = [n_right / n for n_right, n in attack.by_budget.values()]
        yield grows(shares, attack_title(attack.name)), attack
    if pgd:
        yield check("reaches all", robust["pgd"][-1], 0.0, budget=pgd.runs[-1].epsilon), pgd
    for stronger, weaker in (("pgd", "fgsm"), ("fgsm", "noise"), ("pgd", "noise")):
        if stronger in swept and weaker in swept:
            titles = attack_title(stronger), attack_title(weaker)
            yield at_least_as_strong(robust[stronger], robust[weaker], titles), swept[stronger]
    if pgd:
        for each in _checks_of_pgd(inputs, model, pgd):
            yield each, pgd
    if fgsm:
        zero = fgsm.artifact.array("zero_gradient")
        yield check("no zero gradients", int(zero.sum()), 0, n=len(zero)), fgsm


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
        white, black = float(withstood[shared].mean()), pixel.main.robust_accuracy
        yield check("beats black box", white - black, white=white, black=black)
    doubled = pgd.artifact.array("doubled")
    changed = [
        float(np.mean(doubled[:, run.index] != pgd.column("predicted", run))) for run in pgd.runs
    ]
    worst = int(np.argmax(changed))
    yield check("converged", changed[worst], budget=pgd.runs[worst].epsilon)
