"""Defences under attack: by who does not know of them, and by who does.

An image withstands an attack if it is right and accepted before, and right or refused after. A
defence is worth what is left by the worst of all attacks, image by image; an attack that only fails
because the attacker knows too little proves nothing.
Source: Carlini et al. 2019, arXiv:1902.06705, section 3 (adaptive attacks).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from flowers17.config import FilterSettings
from flowers17.errors import InvalidInput
from flowers17.robustness import filters
from flowers17.robustness.base import checked_images, checked_labels, probabilities
from flowers17.robustness.detector import blurred_descent, guarded, runners_up, scores
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.pgd import pgd

Kind = Literal["none", "adversarial training", "filter", "detector"]
REFUSED = -1
ATTACKS = ("fgsm", "pgd")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class View:
    """What an attacker takes the gradients of.

    knows: whether that is the defended model. how: away from the label, or towards the most
    probable wrong class, since a further class of the model stands for being refused; by signs of
    gradients, or `smoothly` by blurred gradients.
    """

    name: str
    network: keras.Model
    knows: bool = True
    how: Literal["away", "towards", "smoothly"] = "away"


@dataclass(frozen=True)
class Defence:
    """A model with a defence: what it says of images, and how attackers may see it.

    said: float32 (n, h, w, c) in [0, 1] → int (n,), the class or REFUSED.
    """

    name: str
    kind: Kind
    said: Callable[[np.ndarray], np.ndarray]
    views: tuple[View, ...]


def undefended(network: keras.Model) -> Defence:
    """Return the network by itself."""
    return Defence("none", "none", _first(network), (View("itself", network),))


def trained_against(name: str, hardened: keras.Model, network: keras.Model) -> Defence:
    """Return a network trained on adversarial examples; network: without them, to transfer from."""
    views = (View("the network without it", network, knows=False), View("itself", hardened))
    return Defence(name, "adversarial training", _first(hardened), views)


def filtered(which: FilterSettings, network: keras.Model) -> Defence:
    """Return a network behind a filter, attacked without it, through it and around it."""
    through = filters.behind(filters.layer(which), network)
    around = filters.behind(filters.layer(which, "identity"), network)
    views = (
        View("the network without it", network, knows=False),
        View("through the filter", through),
        View("around the filter", around),
    )
    return Defence(which.name, "filter", _first(through), views)


def detected(
    name: str, network: keras.Model, detector: keras.Model, refused_from: float
) -> Defence:
    """Return a network that refuses what its detector takes for adversarial."""
    said, both = _first(network), guarded(network, detector, refused_from)

    def judged(images: np.ndarray) -> np.ndarray:
        return np.where(scores(detector, images) >= refused_from, REFUSED, said(images))

    views = (
        View("the network without it", network, knows=False),
        View("both together", both, how="towards"),
        View("both together, smoothly", both, how="smoothly"),
    )
    return Defence(name, "detector", judged, views)


def runs(defence: Defence, epsilons: Sequence[float]) -> list[dict[str, Any]]:
    """Return the attacks on a defence, each a view, an attack and a budget in 255ths, as JSON."""
    return [
        {"view": view.name, "knows": view.knows, "attack": attack, "epsilon": float(epsilon)}
        for view in defence.views
        for attack in ATTACKS
        for epsilon in epsilons
    ]


def attacked(
    defences: Sequence[Defence],
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    n_steps: int,
    seed: int,
) -> Arrays:
    """Return what defended models say of n images, before and after each of their `runs`.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilons: budgets in 255ths.
    By the defence's number, from `00`: `00-before`, int64 (n,), and `00-after`, int64 (n, runs),
    classes or REFUSED. A network that several are seen as is attacked once.
    Raises InvalidInput for images, labels or budgets out of range.
    """
    images = checked_images(images)
    if not len(epsilons):
        raise InvalidInput("epsilons: expected at least one budget, got none")
    made: dict[tuple[int, str], list[np.ndarray]] = {}
    found: Arrays = {}
    for number, defence in enumerate(defences):
        after = []
        for view in defence.views:
            seen_as = (id(view.network), view.how)
            if seen_as not in made:
                made[seen_as] = _adversarial(view, images, labels, epsilons, n_steps, seed)
            after += [defence.said(one) for one in made[seen_as]]
        found[f"{number:02d}-before"] = defence.said(images).astype(np.int64)
        found[f"{number:02d}-after"] = np.stack(after, axis=1).astype(np.int64)
    return found


def _adversarial(
    view: View,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    n_steps: int,
    seed: int,
) -> list[np.ndarray]:
    """Return the images of each attack and budget, in the order of `runs`."""
    targets, budgets = None, [one / 255 for one in epsilons]
    if view.how != "away":  # being refused is no class to be taken for
        targets = runners_up(probabilities(view.network, images)[:, :-1], labels)
        if view.how == "smoothly":
            return [
                blurred_descent(view.network, images, targets, epsilon=one, n_steps=steps)
                for steps in (1, n_steps)
                for one in budgets
            ]
    found = fgsm(view.network, images, labels, epsilon=budgets, targets=targets)
    for one in budgets:
        found.append(
            pgd(
                view.network,
                images,
                labels,
                epsilon=one,
                n_steps=n_steps,
                targets=targets,
                seed=seed,
            )
        )
    return [one.adversarial for one in found]


def withstood(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which images withstand each run: bool (n, runs). before, after: as of `attacked`."""
    labels = checked_labels(labels, len(before), np.iinfo(np.int64).max)
    right = before == labels
    return np.asarray(right[:, None] & ((after == labels[:, None]) | (after == REFUSED)))


def summary(
    defence: Defence,
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
) -> dict[str, Any]:
    """Return a defence in numbers, as JSON; before, after: as of `attacked`.

    n_right: images right and accepted; n_refused: refused, both without an attack. runs: as of
    `runs`, with n_withstood and n_refused of each. worst: by budget, the images that withstand all
    attacks of it, and all by those who don't know of the defence (None if nobody does not).
    """
    stood, described = withstood(before, after, labels), runs(defence, epsilons)
    refused = (after == REFUSED).sum(axis=0)
    for number, run in enumerate(described):
        run |= {"n_withstood": int(stood[:, number].sum()), "n_refused": int(refused[number])}

    def all_of(epsilon: float, *, unaware: bool) -> int | None:
        chosen = [
            number
            for number, run in enumerate(described)
            if run["epsilon"] == epsilon and not (unaware and run["knows"])
        ]
        return int(stood[:, chosen].all(axis=1).sum()) if chosen else None

    return {
        "name": defence.name,
        "kind": defence.kind,
        "n": len(labels),
        "n_right": int((before == labels).sum()),
        "n_refused": int((before == REFUSED).sum()),
        "runs": described,
        "worst": [
            {
                "epsilon": float(one),
                "n_withstood": all_of(float(one), unaware=False),
                "n_withstood_unaware": all_of(float(one), unaware=True),
            }
            for one in epsilons
        ],
    }


def _first(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: probabilities(network, images).argmax(axis=1)
