"""What tables and figures of attacks share: names, order, shares with intervals, notes."""

from string import ascii_lowercase

import numpy as np

from flowers17.artifacts import Reference
from flowers17.reporting.attacks.records import ORDER, Attack
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.metrics import accuracy_interval, clustered_interval
from flowers17.reporting.tables import EMPTY, Cell
from flowers17.reporting.titles import trained_tag

_TITLES = {
    "noise": "sign noise",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "targeted": "PGD, targeted",
    "jsma": "JSMA",
    "one_pixel": "one pixel",
}


def attack_title(name: str) -> str:
    """Return how people call an attack.

    >>> attack_title("one_pixel")
    'one pixel'
    """
    return _TITLES.get(name, name)


def model_title(name: str) -> str:
    """Return how people call a model under attack.

    >>> model_title("study by random_forest"), model_title("mk-2 wide")
    ('ensemble study (stacking, random forest)', 'mk-2 wide')
    """
    ensemble, by, method = name.partition(" by ")
    return f"ensemble {ensemble} ({method_title(method)})" if by else name


def budget_title(epsilon: float | None) -> str:
    """Return a budget in 255ths as people write it.

    >>> budget_title(8.0), budget_title(0.5), budget_title(None)
    ('8/255', '0.5/255', '–')
    """
    return EMPTY.text if epsilon is None else f"{epsilon:g}/255"


def models_of(inputs: ReportInputs) -> list[str]:
    """Return the models that were attacked, networks first, in the order of the settings."""
    asked = [one.name for one in inputs.study.attacks.models]
    found = dict.fromkeys(one.model for one in inputs.attacks)
    is_network = {one.model: one.result["kind"] == "network" for one in inputs.attacks}

    def place(name: str) -> tuple[bool, int, str]:
        return not is_network[name], asked.index(name) if name in asked else len(asked), name

    return sorted(found, key=place)


def attacks_on(inputs: ReportInputs, model: str) -> list[Attack]:
    """Return the attacks on a model, in the order in which tables list them."""
    found = [one for one in inputs.attacks if one.model == model]
    return sorted(found, key=lambda one: ORDER.index(one.name) if one.name in ORDER else len(ORDER))


def attack_on(inputs: ReportInputs, model: str, name: str) -> Attack | None:
    """Return one attack on a model, if it was made."""
    return next((one for one in attacks_on(inputs, model) if one.name == name), None)


def suffix_of(inputs: ReportInputs, model: str) -> str:
    """Return what follows the numbers of a model's figures: nothing for the first, then `b` …"""
    place = models_of(inputs).index(model)
    return ascii_lowercase[place % len(ascii_lowercase)] if place else ""


def tag_of(inputs: ReportInputs, model: str) -> str:
    """Return the warning that belongs to a model's numbers: untrained weights below it."""
    made_by = {
        one.artifact.manifest["inputs"]["model"]["stage"]
        for one in inputs.attacks
        if one.model == model
    }
    return trained_tag(made_by != {"training"} and inputs.has_random_weights)


def share_cell(n_reached: int, n: int, source: Reference | None) -> Cell:
    """Return the cell of a share with its interval; empty of nothing."""
    if not n:
        return EMPTY
    share = n_reached / n
    return Cell(f"{share:.3f}", share, accuracy_interval(n_reached, n), artifact=source)


def reached_cell(one: Attack, reached: np.ndarray) -> Cell:
    """Return the cell of the share of what was right before that reached a goal; empty of nothing.

    reached: bool (n,). Pairs of one image and several targets are no independent observations.
    """
    counted = reached[one.right]
    if not len(counted):
        return EMPTY
    share = int(counted.sum()) / len(counted)
    interval = clustered_interval(counted, one.rows[one.right])
    return Cell(f"{share:.3f}", share, interval, artifact=one.artifact.reference)


def notes(inputs: ReportInputs) -> tuple[str, ...]:
    """Return what has to be known of the images that are attacked."""
    differs = inputs.data_differences_in_short
    kind = f" ({differs})" if differs else ""
    ours = inputs.study.attacks
    return (
        f"Images{kind}: of the {ours.split} split’s validation images, drawn evenly from the "
        "classes by the seed. Budgets are L∞, in steps of 8-bit colours.",
    )
