"""Adversarial training: adversarial examples in each batch, against the network's current weights.

Source: Goodfellow et al. 2015, arXiv:1412.6572, section 6 (one step); Madry et al. 2018,
arXiv:1706.06083, section 2.1 (several); Kurakin et al. 2017, arXiv:1611.01236, section 3 (clean
and adversarial images in one batch).
"""

from math import ceil

import keras
import numpy as np

from flowers17.config import AdversarySettings
from flowers17.learners.training import Perturbation
from flowers17.robustness.fgsm import clipped_step
from flowers17.robustness.gradients import gradient_function
from flowers17.robustness.pgd import projected_steps
from flowers17.seeds import generator


def adversary(model: keras.Model, settings: AdversarySettings, seed: int) -> Perturbation:
    """Attack on the first images of every batch, which are in random order anyway.

    It replaces the settings' share of a batch by adversarial images, whose cross-entropy against
    the targets, class probabilities, one-hot or mixed, it raises.
    The perturbation depends on the network's weights, the batch, and the numbers of epoch and
    batch; so a training that is resumed after an epoch ends with the same bytes.
    model: the network that is being trained. seed: of the training.
    """
    gradients, epsilon = gradient_function(model), settings.epsilon / 255

    def perturbed(images: np.ndarray, targets: np.ndarray, epoch: int, batch: int) -> np.ndarray:
        n = ceil(settings.share * len(images))
        selected = images[:n]

        def signs(pixels: np.ndarray) -> np.ndarray:
            return np.sign(gradients(pixels, targets[:n]))

        if settings.attack == "fgsm":
            adversarial = clipped_step(selected, signs(selected), epsilon)
        else:
            random = generator(seed, "epoch", epoch, "batch", batch, "adversary")
            offsets = random.uniform(-1, 1, selected.shape).astype(np.float32)
            starts, n_steps = clipped_step(selected, offsets, epsilon), settings.n_steps
            adversarial = projected_steps(selected, starts, signs, epsilon=epsilon, n_steps=n_steps)
        return np.concatenate([adversarial, images[n:]])

    return perturbed
