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
from scipy.ndimage import gaussian_filter

from flowers17.config import AttackName, AttackSettings
from flowers17.errors import InvalidInput
from flowers17.robustness.base import AttackResult, Model, checked_images
from flowers17.robustness.fgsm import fgsm, random_noise
from flowers17.robustness.goals import (
    confidence_reduction,
    misclassification,
    robust_mask,
    targeted_misclassification,
)
from flowers17.robustness.jsma import jsma
from flowers17.robustness.one_pixel import one_pixel
from flowers17.robustness.pgd import REACH, pgd

Arrays = dict[str, np.ndarray]
SIGMA, RADIUS = 1.5, 5  # of the windows of structural similarity, in pixels
C1, C2 = 0.01**2, 0.03**2
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
    elif attack == "jsma":
        parameters = settings.jsma.model_dump(include={"theta", "gamma", "variant"})
        network = victim.differentiable(attack)
        results = [jsma(network, images, np.asarray(targets), **parameters)]
    elif attack == "one_pixel":
        parameters = settings.one_pixel.model_dump(exclude={"n_images", "images_per_batch"})
        results = [one_pixel(victim.proba, images, labels, **parameters, seed=seed)]
    else:
        network = victim.differentiable(attack)
        search: dict[str, Any] = {"n_steps": settings.pgd_steps, "seed": seed}
        if attack == "pgd":
            search |= {"restarts": settings.pgd_restarts, "losses": settings.pgd_losses}
        results = [
            pgd(network, images, labels, targets=targets, epsilon=budget, **search)
            for budget in budgets
        ]
        if attack == "pgd":
            doubled = [
                _doubled_predictions(
                    outcome,
                    images,
                    labels,
                    model=network,
                    epsilon=budget,
                    step=REACH * budget / settings.pgd_steps,  # as long as before
                    **{**search, "n_steps": 2 * settings.pgd_steps},
                )
                for outcome, budget in zip(results, budgets, strict=True)
            ]
            extra["doubled"] = np.stack(doubled, axis=1)
    stored = epsilons(attack, settings).index(settings.budget) if len(results) > 1 else 0
    columns = {name: [getattr(result, name) for result in results] for name in PER_RUN}
    columns["ssim"] = [ssim(images, result.adversarial) for result in results]
    adversarial = np.rint(results[stored].adversarial * 255).astype(np.uint8)
    return {
        **{name: np.stack(arrays, axis=1) for name, arrays in columns.items()},
        "predicted_before": results[0].predicted_before,
        "adversarial": adversarial,
        **extra,
    }


def _doubled_predictions(
    outcome: AttackResult, images: np.ndarray, labels: np.ndarray, **longer: Any
) -> np.ndarray:
    """Predicted classes: of images that withstood after longer PGD, of others as before."""
    predicted = outcome.predicted.copy()
    rows = np.flatnonzero((outcome.predicted_before == labels) & (predicted == labels))
    if rows.size:
        predicted[rows] = pgd(images=images[rows], labels=labels[rows], **longer).predicted
    return predicted


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
    robust = robust_mask(arrays["predicted_before"], arrays["predicted"], labels)
    summaries = []
    for run, epsilon in enumerate(epsilons(attack, settings)):
        outcome = result_of_run(arrays, run)
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


def result_of_run(arrays: Mapping[str, np.ndarray], run: int = 0) -> AttackResult:
    """Result of one run from the arrays of `attack_arrays`."""
    return AttackResult(
        adversarial=arrays["adversarial"],
        predicted_before=arrays["predicted_before"],
        **{name: arrays[name][:, run] for name in PER_RUN},
    )


def ssim(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Structural similarity (SSIM) of images to references, 1 if they are equal: float64 (n,).

    It is their likeness to the human eye, unlike a norm, as a mean over windows.
    images, references: float (n, h, w, c) in [0, 1], at least 11 pixels high and wide. Each channel
    is compared by itself under Gaussian windows of 11 × 11 pixels that lie inside the image.
    Source: Wang et al. 2004, IEEE Trans. Image Processing 13:600, equation 13.
    """
    return np.array([_similarity(*pair) for pair in zip(images, references, strict=True)])


def _similarity(image: np.ndarray, reference: np.ndarray) -> float:
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    denominator = (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    return float((numerator / denominator).mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Means under the window, at the positions where it lies inside."""
    means = gaussian_filter(values, (SIGMA, SIGMA, 0), radius=(RADIUS, RADIUS, 0))
    return np.asarray(means[RADIUS:-RADIUS, RADIUS:-RADIUS])
