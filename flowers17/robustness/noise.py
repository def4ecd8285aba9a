"""Random noise of an attack's size: the floor that every attack has to rise above."""

import numpy as np

from flowers17.robustness.base import (
    AttackResult,
    Model,
    checked_budget,
    checked_images,
    checked_labels,
    own_generator,
    probabilities,
    result,
)
from flowers17.robustness.fgsm import stepped


def random_noise(
    model: Model, images: np.ndarray, labels: np.ndarray, *, epsilon: float, seed: int
) -> AttackResult:
    """Perturb each feature by plus or minus a budget, whichever a coin says.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilon: L-infinity size, at least 0.
    The coins come from the seed and the image's content, and are the same for every budget.
    Raises InvalidInput for images, labels or a budget out of range.
    """
    epsilon = checked_budget(epsilon)
    images = checked_images(images)
    before = probabilities(model, images)
    labels = checked_labels(labels, len(images), before.shape[1])
    adversarial = stepped(images, random_signs(images, seed), epsilon)
    after = probabilities(model, adversarial)
    return result(images, adversarial, labels, None, before, after, 1, 0)


def random_signs(images: np.ndarray, seed: int) -> np.ndarray:
    """Return -1 or 1 for each feature, float32 (n, h, w, c), each image's from its own draw."""
    coins = [own_generator(seed, one, "noise").integers(0, 2, one.shape) for one in images]
    return (2 * np.stack(coins) - 1).astype(np.float32)
