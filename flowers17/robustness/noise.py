"""Random noise with an attack's budget: the baseline that every attack has to exceed."""

import numpy as np

from flowers17.robustness.base import (
    AttackResult,
    Model,
    attack_result,
    checked_budget,
    checked_victims,
    image_generator,
    probabilities,
)
from flowers17.robustness.fgsm import clipped_step


def random_noise(
    model: Model, images: np.ndarray, labels: np.ndarray, *, epsilon: float, seed: int
) -> AttackResult:
    """Perturb each feature by plus or minus a budget, with random sign.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilon: L-infinity budget, 0 or more.
    The signs come from the seed and the image's content, and are the same for every budget.
    Raises InvalidInput for images, labels or a budget out of range.
    """
    epsilon = checked_budget(epsilon)
    images, before, labels, _ = checked_victims(model, images, labels)
    adversarial = clipped_step(images, random_signs(images, seed), epsilon)
    after = probabilities(model, adversarial)
    return attack_result(images, adversarial, labels, None, before, after, 1, 0)


def random_signs(images: np.ndarray, seed: int) -> np.ndarray:
    """Random sign of each feature, -1 or 1, by seed and image: float32 (n, h, w, c)."""
    coins = [image_generator(seed, image, "noise").integers(0, 2, image.shape) for image in images]
    return (2 * np.stack(coins) - 1).astype(np.float32)
