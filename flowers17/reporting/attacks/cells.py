"""What tables and figures of attacks share: models and their attacks, their names, shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_lowercase

import numpy as np

from flowers17.artifacts import Reference
from flowers17.reporting.attacks.records import Attack
from flowers17.reporting.cells import EMPTY, Cell, score_cell
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.titles import method_title, trained_tag
from flowers17.reporting.wording import capital

_TITLES = {  # in the order of tables
    "noise": "sign noise",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "targeted": "PGD, targeted",
    "jsma": "JSMA",
    "one_pixel": "one pixel",
}
_VARIANTS = {"single": "single features", "pairwise": "pairs of features"}
SWEPT = ("noise", "fgsm", "pgd")  # over all budgets


def withstanding(attack: Attack, rows: np.ndarray, *fallen: np.ndarray) -> Cell:
    """Share of an attack's images in some rows that are in none of the fallen rows."""
    images = np.intersect1d(rows, attack.rows)
    n_withstood = int((~np.isin(images, np.concatenate(fallen))).sum())
    return share_cell(n_withstood, len(images), attack.artifact.reference)


@dataclass(frozen=True)
class AttackedModel:
    """A model and the attacks on it, in the order in which tables list them.

    suffix: what follows its figures' numbers: nothing for the first model, then `b` … tag: the
    warning that belongs to its numbers, of untrained weights.
    """

    name: str
    attacks: Sequence[Attack]
    suffix: str
    tag: str

    @property
    def title(self) -> str:
        """Its heading."""
        return capital(model_title(self.name))

    @property
    def swept(self) -> dict[str, Attack]:
        """The attacks over all budgets, by name, the weakest first."""
        return {attack.name: attack for attack in self.attacks if attack.name in SWEPT}

    def withstanding(self, epsilon: float) -> Cell:
        """Images that withstand every attack at a budget, targeted ones and PGD's twice the steps.

        Of those that sweeps attack; others attack fewer of them.
        """
        sweep = next(iter(self.swept.values()))
        runs = [(attack, run) for attack in self.attacks for run in attack.runs]
        fallen = [attack.fallen_rows(run) for attack, run in runs if run.epsilon == epsilon]
        return withstanding(sweep, sweep.rows, sweep.rows[~sweep.right], *fallen)

    def attack(self, *names: str) -> Attack | None:
        """The first attack of one of these names, if there is any."""
        return next((attack for attack in self.attacks if attack.name in names), None)


def attacked_models(inputs: ReportInputs) -> list[AttackedModel]:
    """The models that were attacked, networks first, in the order of the settings."""
    names = [model.name for model in inputs.study.attacks.models]

    def rank(attack: Attack) -> tuple[bool, int, str, int]:
        place = (*names, attack.model).index(attack.model)
        order = (*_TITLES, attack.name).index(attack.name)
        return attack.kind != "network", place, attack.model, order

    models: list[AttackedModel] = []
    for name, group in groupby(sorted(inputs.attacks, key=rank), lambda attack: attack.model):
        attacks = list(group)
        stages = {attack.artifact.manifest["inputs"]["model"]["stage"] for attack in attacks}
        tag = trained_tag(stages != {"training"} and inputs.has_random_weights)
        suffix = ascii_lowercase[len(models) % len(ascii_lowercase)] if models else ""
        models.append(AttackedModel(name, attacks, suffix, tag))
    return models


def attack_title(name: str) -> str:
    """Display name of an attack.

    >>> attack_title("one_pixel")
    'one pixel'
    """
    return _TITLES.get(name, name)


def variant_title(attack: Attack) -> str:
    """Display name of an attack with its variant: `JSMA, pairs of features`."""
    return ", ".join(filter(None, (attack_title(attack.name), _VARIANTS.get(attack.variant))))


def model_title(name: str) -> str:
    """Display name of a model under attack.

    >>> model_title("study by random_forest"), model_title("mk-2 wide")
    ('ensemble study (stacking, random forest)', 'mk-2 wide')
    """
    ensemble, by, method = name.partition(" by ")
    return f"ensemble {ensemble} ({method_title(method)})" if by else name


def budget_title(epsilon: float | None) -> str:
    """A budget in 255ths, in words.

    >>> budget_title(8.0), budget_title(0.5), budget_title(0.0), budget_title(None)
    ('8/255', '0.5/255', 'none', '–')
    """
    if epsilon is None:
        return EMPTY.text
    return f"{epsilon:g}/255" if epsilon else "none"


def share_cell(n_reached: int, n: int, source: Reference) -> Cell:
    """Cell of a share of n images with its interval; EMPTY where it is of nothing."""
    if not n:
        return EMPTY
    share = Measured(n_reached / n, accuracy_interval(n_reached, n))
    return score_cell(share, source=source)
