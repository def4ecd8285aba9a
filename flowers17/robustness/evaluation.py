"""One attack on one model: at every budget, what it reached and what it took, image by image.

An image withstands an attack if the model has it right before and after: an attacker may leave
alone what is wrong already. Robust accuracy is the share that withstands.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.config import AttackName, AttackSettings
from flowers17.errors import InvalidInput
from flowers17.robustness.base import AttackResult, Model, checked_images, checked_labels
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.goals import (
    confidence_reduction,
    misclassification,
    source_target_matrix,
    targeted_misclassification,
)
from flowers17.robustness.jsma import jsma
from flowers17.robustness.noise import random_noise
from flowers17.robustness.one_pixel import one_pixel
from flowers17.robustness.pgd import REACH, pgd
from flowers17.robustness.similarity import ssim

Arrays = dict[str, np.ndarray]
NONE = -1
PER_RUN = (
    *("success", "predicted", "confidence_before", "confidence_after", "n_queries"),
    *("n_gradients", "l0", "l2", "linf"),
)


@dataclass(frozen=True)
class Victim:
    """A model under attack.

    proba: from float32 (k, h, w, c) in [0, 1] to probabilities (k, n_classes). network: the same as
    gradients are taken of it; None for a black box.
    """

    proba: Callable[[np.ndarray], np.ndarray]
    network: Model | None = None

    def differentiable(self, attack: AttackName) -> Model:
        """Return the network; raises InvalidInput if there is none, which `attack` needs."""
        if self.network is None:
            raise InvalidInput(
                f"{attack}: expected a network, whose gradients it takes, got a black box; attack "
                "it with noise or one_pixel, or by transfer"
            )
        return self.network


def epsilons(attack: AttackName, settings: AttackSettings) -> list[float | None]:
    """Return the budgets of an attack's runs in 255ths, ascending; None for what has no such one.

    >>> epsilons("fgsm", AttackSettings(budgets=(4, 2), budget=8))
    [2.0, 4.0, 8.0]
    """
    if attack in ("noise", "fgsm", "pgd"):
        return [float(one) for one in sorted({*settings.budgets, settings.budget})]
    return [float(settings.budget)] if attack == "targeted" else [None]


def attacked(
    attack: AttackName,
    victim: Victim,
    images: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    settings: AttackSettings,
    seed: int,
) -> Arrays:
    """Return what one attack does to n images, each array's first axis.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets for `targeted` and
    `jsma` alone.
    predicted_before: int64 (n,). By run, the second axis, in the order of `epsilons`: `predicted`,
    `success`, confidences, counts and distortions as in `AttackResult`, and `ssim`.
    adversarial: uint8 (n, h, w, c), of the run at `settings.budget` or the only one.
    zero_gradient: bool (n,), of FGSM: nothing moved at the largest budget. doubled: int64
    (n, runs), of PGD: the class after twice the steps, of images that withstood; else as
    `predicted`.
    Raises InvalidInput for a network's attack on a black box, and what the attack raises.
    """
    images = checked_images(images)
    if (targets is None) == (attack in ("targeted", "jsma")):
        raise InvalidInput(
            f"{attack}: expected {'no ' * (targets is not None)}targets; targeted and jsma take "
            "them"
        )
    budgets = [one / 255 for one in epsilons(attack, settings) if one is not None]
    further: Arrays = {}
    if attack == "noise":
        asked = victim.network or victim.proba
        results = [random_noise(asked, images, labels, epsilon=one, seed=seed) for one in budgets]
    elif attack == "fgsm":
        results = fgsm(victim.differentiable(attack), images, labels, epsilon=budgets)
        further["zero_gradient"] = results[-1].linf == 0
    elif attack == "jsma" and targets is not None:
        chosen = settings.jsma.model_dump(include={"theta", "gamma", "variant"})
        results = [jsma(victim.differentiable(attack), images, targets, **chosen)]
    elif attack == "one_pixel":
        chosen = settings.one_pixel.model_dump(exclude={"n_images", "images_per_batch"})
        results = [one_pixel(victim.proba, images, labels, **chosen, seed=seed)]
    else:
        network, n_steps = victim.differentiable(attack), settings.pgd_steps
        results = [
            pgd(network, images, labels, targets=targets, epsilon=one, n_steps=n_steps, seed=seed)
            for one in budgets
        ]
        if attack == "pgd":
            further["doubled"] = np.stack(
                [
                    _doubled(network, images, labels, found, one, n_steps, seed)
                    for found, one in zip(results, budgets, strict=True)
                ],
                axis=1,
            )
    return _arrays(images, results, _kept(attack, settings)) | further


def _doubled(
    network: Model,
    images: np.ndarray,
    labels: np.ndarray,
    found: AttackResult,
    epsilon: float,
    n_steps: int,
    seed: int,
) -> np.ndarray:
    """Return the classes after twice the steps of those that withstood, else those found."""
    predicted = found.predicted.copy()
    rows = np.flatnonzero((found.predicted_before == labels) & (predicted == labels))
    if rows.size:
        again = pgd(
            network,
            images[rows],
            labels[rows],
            epsilon=epsilon,
            step=REACH * epsilon / n_steps,  # as long as before
            n_steps=2 * n_steps,
            seed=seed,
        )
        predicted[rows] = again.predicted
    return predicted


def _kept(attack: AttackName, settings: AttackSettings) -> int:
    """Return which run's images are kept."""
    runs = epsilons(attack, settings)
    return runs.index(settings.budget) if len(runs) > 1 else 0


def _arrays(images: np.ndarray, results: list[AttackResult], kept: int) -> Arrays:
    found = {name: np.stack([getattr(one, name) for one in results], axis=1) for name in PER_RUN}
    found["ssim"] = np.stack([ssim(images, one.adversarial) for one in results], axis=1)
    found["predicted_before"] = results[0].predicted_before
    found["adversarial"] = np.rint(results[kept].adversarial * 255).astype(np.uint8)
    return found


def withstood(arrays: Mapping[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return which images a model has right before and after each run: bool (n, runs)."""
    right = arrays["predicted_before"] == labels
    return np.asarray(right[:, None] & (arrays["predicted"] == labels[:, None]))


def summaries(
    attack: AttackName,
    arrays: Mapping[str, np.ndarray],
    labels: np.ndarray,
    targets: np.ndarray | None,
    settings: AttackSettings,
) -> list[dict[str, Any]]:
    """Return each run in numbers: its budget in 255ths, who withstood, and the attacker's goals.

    arrays: as `attacked` returns them, of all images. Goals as in `goals`, of the n_right that were
    right before: n_misclassified; with targets n_targeted; without them confidence_drop, the
    label's, None if none was right.
    """
    checked_labels(labels, len(labels), np.iinfo(np.int64).max)
    stood = withstood(arrays, labels)
    found = []
    for place, epsilon in enumerate(epsilons(attack, settings)):
        one = _result(arrays, place)
        missed = misclassification(one, labels)
        run: dict[str, Any] = {
            "epsilon": epsilon,
            "n": len(labels),
            "n_right": missed.n,
            "n_withstood": int(stood[:, place].sum()),
            "n_misclassified": missed.n_reached,
        }
        if targets is None:
            drop = confidence_reduction(one, labels)
            run["confidence_drop"] = None if math.isnan(drop) else drop
        else:
            run["n_targeted"] = targeted_misclassification(one, labels, targets).n_reached
        found.append(run)
    return found


def source_target(
    arrays: Mapping[str, np.ndarray], labels: np.ndarray, targets: np.ndarray, n_classes: int
) -> np.ndarray:
    """Return how many pairs reached their target and how many there were: int64 (2, c, c).

    By source class and target class, of the first run; only images that were right count.
    """
    found = source_target_matrix(_result(arrays, 0), labels, targets, n_classes)
    return np.stack([found.n_reached, found.n])


def _result(arrays: Mapping[str, np.ndarray], run: int) -> AttackResult:
    return AttackResult(
        adversarial=arrays["adversarial"],
        predicted_before=arrays["predicted_before"],
        **{name: arrays[name][:, run] for name in PER_RUN},
    )
