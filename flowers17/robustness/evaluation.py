"""Evaluation of one attack on one victim model: success and cost at every budget, image by image.

An image withstands an attack if the model classifies it correctly before and after; an attacker
need not perturb an image that is misclassified already. Robust accuracy is the share of images that
withstand.
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
PER_RUN = (
    *("success", "predicted", "confidence_before", "confidence_after", "n_queries"),
    *("n_gradients", "l0", "l2", "linf"),
)


@dataclass(frozen=True)
class Victim:
    """The victim: a model under attack.

    proba: from float32 (k, h, w, c) in [0, 1] to probabilities (k, n_classes). network: the same
    model, differentiable, for white-box attacks; None for a black box.
    """

    proba: Callable[[np.ndarray], np.ndarray]
    network: Model | None = None

    def differentiable(self, attack: AttackName) -> Model:
        """The network, for an attack that needs gradients; raises InvalidInput for a black box."""
        if self.network is None:
            raise InvalidInput(
                f"{attack}: expected a network, whose gradients it takes, got a black box; attack "
                "it with noise or one_pixel, or by transfer"
            )
        return self.network


def epsilons(attack: AttackName, settings: AttackSettings) -> list[float | None]:
    """Budgets epsilon of an attack's runs in 255ths, ascending; [None] for an attack without one.

    >>> epsilons("fgsm", AttackSettings(budgets=(4, 2), budget=8))
    [2.0, 4.0, 8.0]
    """
    if attack in ("noise", "fgsm", "pgd"):
        return [float(budget) for budget in sorted({*settings.budgets, settings.budget})]
    return [float(settings.budget)] if attack == "targeted" else [None]


def attack_arrays(
    attack: AttackName,
    victim: Victim,
    images: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    settings: AttackSettings,
    seed: int,
) -> Arrays:
    """Results of one attack on n images as arrays, their first axis the images.

    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets for `targeted` and
    `jsma` alone.
    predicted_before: int64 (n,). By run, the second axis, in the order of `epsilons`: `predicted`,
    `success`, confidences, counts and distortions as in `AttackResult`, and `ssim`.
    adversarial: uint8 (n, h, w, c), of the run at `settings.budget` or the only one.
    zero_gradient: bool (n,), of FGSM: no pixel changed at the largest budget. doubled: int64
    (n, runs), of PGD: the class after twice the steps, for images that withstood; else as
    `predicted`.
    Raises InvalidInput for a white-box attack on a black box, and what the attack raises.
    """
    images = checked_images(images)
    if (targets is None) == (attack in ("targeted", "jsma")):
        raise InvalidInput(
            f"{attack}: expected {'no ' * (targets is not None)}targets; targeted and jsma take "
            "them"
        )
    budgets = [budget / 255 for budget in epsilons(attack, settings) if budget is not None]
    extra: Arrays = {}
    if attack == "noise":
        model = victim.network or victim.proba
        results = [
            random_noise(model, images, labels, epsilon=budget, seed=seed) for budget in budgets
        ]
    elif attack == "fgsm":
        results = fgsm(victim.differentiable(attack), images, labels, epsilons=budgets)
        extra["zero_gradient"] = results[-1].linf == 0
    elif attack == "jsma" and targets is not None:
        parameters = settings.jsma.model_dump(include={"theta", "gamma", "variant"})
        results = [jsma(victim.differentiable(attack), images, targets, **parameters)]
    elif attack == "one_pixel":
        parameters = settings.one_pixel.model_dump(exclude={"n_images", "images_per_batch"})
        results = [one_pixel(victim.proba, images, labels, **parameters, seed=seed)]
    else:
        network, n_steps = victim.differentiable(attack), settings.pgd_steps
        results = [
            pgd(
                network, images, labels, targets=targets, epsilon=budget, n_steps=n_steps, seed=seed
            )
            for budget in budgets
        ]
        if attack == "pgd":
            extra["doubled"] = np.stack(
                [
                    _doubled_predictions(network, images, labels, outcome, budget, n_steps, seed)
                    for outcome, budget in zip(results, budgets, strict=True)
                ],
                axis=1,
            )
    stored = epsilons(attack, settings).index(settings.budget) if len(results) > 1 else 0
    return _arrays(images, results, stored) | extra


def _doubled_predictions(
    network: Model,
    images: np.ndarray,
    labels: np.ndarray,
    outcome: AttackResult,
    epsilon: float,
    n_steps: int,
    seed: int,
) -> np.ndarray:
    """Predicted classes: of images that withstood after twice the steps, of others as before."""
    predicted = outcome.predicted.copy()
    rows = np.flatnonzero((outcome.predicted_before == labels) & (predicted == labels))
    if rows.size:
        longer = pgd(
            network,
            images[rows],
            labels[rows],
            epsilon=epsilon,
            step=REACH * epsilon / n_steps,  # as long as before
            n_steps=2 * n_steps,
            seed=seed,
        )
        predicted[rows] = longer.predicted
    return predicted


def _arrays(images: np.ndarray, results: list[AttackResult], run: int) -> Arrays:
    arrays = {
        name: np.stack([getattr(outcome, name) for outcome in results], axis=1) for name in PER_RUN
    }
    arrays["ssim"] = np.stack([ssim(images, outcome.adversarial) for outcome in results], axis=1)
    arrays["predicted_before"] = results[0].predicted_before
    arrays["adversarial"] = np.rint(results[run].adversarial * 255).astype(np.uint8)
    return arrays


def robust_mask(arrays: Mapping[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Mask of the images classified correctly before and after each run: bool (n, runs)."""
    right = arrays["predicted_before"] == labels
    return np.asarray(right[:, None] & (arrays["predicted"] == labels[:, None]))


def run_summaries(
    attack: AttackName,
    arrays: Mapping[str, np.ndarray],
    labels: np.ndarray,
    targets: np.ndarray | None,
    settings: AttackSettings,
) -> list[dict[str, Any]]:
    """Counts of each run: its budget in 255ths, images that withstood, and the attacker's goals.

    arrays: as of `attack_arrays`, of all images. Goals as in `goals`, of the n_right images that
    were classified correctly: n_misclassified; with targets n_targeted; without them
    confidence_drop, the label's, None if n_right is 0.
    """
    checked_labels(labels, len(labels), np.iinfo(np.int64).max)
    robust = robust_mask(arrays, labels)
    summaries = []
    for run, epsilon in enumerate(epsilons(attack, settings)):
        outcome = _result(arrays, run)
        misclassified = misclassification(outcome, labels)
        summary: dict[str, Any] = {
            "epsilon": epsilon,
            "n": len(labels),
            "n_right": misclassified.n,
            "n_withstood": int(robust[:, run].sum()),
            "n_misclassified": misclassified.n_reached,
        }
        if targets is None:
            drop = confidence_reduction(outcome, labels)
            summary["confidence_drop"] = None if math.isnan(drop) else drop
        else:
            summary["n_targeted"] = targeted_misclassification(outcome, labels, targets).n_reached
        summaries.append(summary)
    return summaries


def source_target_counts(
    arrays: Mapping[str, np.ndarray], labels: np.ndarray, targets: np.ndarray, n_classes: int
) -> np.ndarray:
    """Pairs of image and target that succeeded, and all pairs: int64 (2, n_classes, n_classes).

    By source class and target class, of the first run; only images that were classified correctly
    count.
    """
    return source_target_matrix(_result(arrays, 0), labels, targets, n_classes)


def _result(arrays: Mapping[str, np.ndarray], run: int) -> AttackResult:
    return AttackResult(
        adversarial=arrays["adversarial"],
        predicted_before=arrays["predicted_before"],
        **{name: arrays[name][:, run] for name in PER_RUN},
    )
