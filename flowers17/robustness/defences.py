"""Evaluation of defences, against attackers who are unaware of them and attackers who are not.

An image withstands an attack if it is classified correctly and accepted before, and classified
correctly or refused after. A defence is measured by its robust accuracy under the worst of all
attacks, image by image: the failure of an unaware attacker is no evidence of robustness.
Source: Carlini et al. 2019, arXiv:1902.06705, section 3 (adaptive attacks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from flowers17.config import FilterSettings
from flowers17.robustness import filters
from flowers17.robustness.base import checked_images, probabilities
from flowers17.robustness.detector import (
    adversarial_scores,
    blurred_descent,
    joint_model,
    runner_up_classes,
)
from flowers17.robustness.goals import REFUSED, robust_mask
from flowers17.robustness.pgd import fgsm_and_pgd

Kind = Literal["none", "control", "adversarial training", "filter", "detector"]
ATTACKS = ("fgsm", "pgd")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class View:
    """An attacker's view of a defence: the network that gradients are taken of.

    aware: whether that is the defended model, or a surrogate without the defence. strategy: by
    signs of gradients `away` from the label, or `towards` the most probable wrong class, since a
    further class of the network stands for a refusal; `smoothly` towards it by blurred gradients.
    """

    name: str
    network: keras.Model
    aware: bool = True
    strategy: Literal["away", "towards", "smoothly"] = "away"


@dataclass(frozen=True)
class Defence:
    """A model with a defence, and the views of its attackers.

    predict: float32 (n, h, w, c) in [0, 1] → int (n,), the class or REFUSED.
    """

    name: str
    kind: Kind
    predict: Callable[[np.ndarray], np.ndarray]
    views: tuple[View, ...]


def no_defence(network: keras.Model) -> Defence:
    """The network alone."""
    return Defence("none", "none", _predict(network), (View("itself", network),))


def hardened_defence(name: str | None, hardened: keras.Model, network: keras.Model) -> Defence:
    """A network trained anew on adversarial examples; network: the surrogate, trained without them.

    name: of the adversary. None: the control, trained anew without one, since another training is
    another network, which attacks on the first may miss.
    """
    views = (View("the network without it", network, aware=False), View("itself", hardened))
    kind: Kind = "adversarial training" if name else "control"
    return Defence(name or kind, kind, _predict(hardened), views)


def filter_defence(settings: FilterSettings, network: keras.Model) -> Defence:
    """A network with a filter in front, attacked without it, through it and around it."""
    through = filters.filtered_model(filters.filter_layer(settings), network)
    around = filters.filtered_model(filters.filter_layer(settings, "identity"), network)
    views = (
        View("the network without it", network, aware=False),
        View("through the filter", through),
        View("around the filter", around),
    )
    return Defence(settings.name, "filter", _predict(through), views)


def detector_defence(
    name: str, network: keras.Model, detector: keras.Model, threshold: float
) -> Defence:
    """A network that refuses images with a detector's score from a threshold on."""
    predict, joint = _predict(network), joint_model(network, detector, threshold)

    def predict_or_refuse(images: np.ndarray) -> np.ndarray:
        return np.where(adversarial_scores(detector, images) >= threshold, REFUSED, predict(images))

    views = (
        View("the network without it", network, aware=False),
        View("both together", joint, strategy="towards"),
        View("both together, smoothly", joint, strategy="smoothly"),
    )
    return Defence(name, "detector", predict_or_refuse, views)


def attack_runs(defence: Defence, epsilons: Sequence[float]) -> list[dict[str, Any]]:
    """Attacks on a defence, each a view, an attack and a budget in 255ths, as JSON."""
    return [
        {"view": view.name, "knows": view.aware, "attack": attack, "epsilon": float(epsilon)}
        for view in defence.views
        for attack in ATTACKS
        for epsilon in epsilons
    ]


def predictions_under_attack(
    defences: Sequence[Defence],
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    n_steps: int,
    **search: Any,
) -> Arrays:
    """Predictions of defended models for n images, before and after each of their `attack_runs`.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilons: budgets in 255ths.
    n_steps, search: of PGD, as of `pgd`.
    By the defence's number, from `00`: `00-before`, int64 (n,), and `00-after`, int64 (n, runs),
    classes or REFUSED. A network in several views is attacked once.
    Raises InvalidInput for images, labels or budgets out of range.
    """
    images = checked_images(images)
    adversarial: dict[tuple[int, str], list[np.ndarray]] = {}
    predictions: Arrays = {}
    for number, defence in enumerate(defences):
        after = []
        for view in defence.views:
            key = id(view.network), view.strategy
            if key not in adversarial:
                adversarial[key] = _adversarial(view, images, labels, epsilons, n_steps, search)
            after += [defence.predict(perturbed) for perturbed in adversarial[key]]
        predictions[f"{number:02d}-before"] = defence.predict(images).astype(np.int64)
        predictions[f"{number:02d}-after"] = np.stack(after, axis=1).astype(np.int64)
    return predictions


def _adversarial(
    view: View,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    n_steps: int,
    search: Mapping[str, Any],
) -> list[np.ndarray]:
    """Adversarial images of each attack and budget, in the order of `attack_runs`."""
    targets, budgets = None, [budget / 255 for budget in epsilons]
    if view.strategy != "away":  # the further class, a refusal, is no target
        targets = runner_up_classes(probabilities(view.network, images)[:, :-1], labels)
        if view.strategy == "smoothly":
            return [
                blurred_descent(view.network, images, targets, epsilon=budget, n_steps=steps)
                for steps in (1, n_steps)
                for budget in budgets
            ]
    results = fgsm_and_pgd(
        view.network, images, labels, budgets, n_steps=n_steps, targets=targets, **search
    )
    return [result.adversarial for result in results]


def defence_summary(
    defence: Defence,
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
) -> dict[str, Any]:
    """Counts of a defence, as JSON; before, after: as of `predictions_under_attack`.

    n_right, n_refused: clean images classified correctly, and refused. runs: as of `attack_runs`,
    with n_withstood and n_refused of each. worst: by budget, the images that withstand all attacks,
    and all attacks of unaware attackers (None without such a view).
    """
    robust, runs = robust_mask(before, after, labels), attack_runs(defence, epsilons)
    n_refused = (after == REFUSED).sum(axis=0)
    for number, run in enumerate(runs):
        run |= {"n_withstood": int(robust[:, number].sum()), "n_refused": int(n_refused[number])}

    unaware = np.array([not run["knows"] for run in runs])

    def n_robust(columns: np.ndarray) -> int | None:
        return int(robust[:, columns].all(axis=1).sum()) if columns.any() else None

    worst = []
    for epsilon in map(float, epsilons):
        of_budget = np.array([run["epsilon"] == epsilon for run in runs])
        withstood = {"n_withstood": n_robust(of_budget)}
        withstood["n_withstood_unaware"] = n_robust(of_budget & unaware)
        worst.append({"epsilon": epsilon, **withstood})
    return {
        "name": defence.name,
        "kind": defence.kind,
        "n": len(labels),
        "n_right": int((before == labels).sum()),
        "n_refused": int((before == REFUSED).sum()),
        "runs": runs,
        "worst": worst,
    }


def _predict(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: probabilities(network, images).argmax(axis=1)
