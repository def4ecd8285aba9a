"""Adversarial training: adversarial examples in each batch, against the network's current weights.

Source: Goodfellow et al. 2015, arXiv:1412.6572, section 6 (one step); Madry et al. 2018,
arXiv:1706.06083, section 2.1 (several); Kurakin et al. 2017, arXiv:1611.01236, section 3 (clean
and adversarial images in one batch).
"""

from collections.abc import Callable
from functools import partial
from math import ceil

import keras
import numpy as np

from flowers17.config import AdversarySettings
from flowers17.robustness.fgsm import clipped_step
from flowers17.robustness.gradients import gradient_function
from flowers17.robustness.pgd import projected_steps
from flowers17.seeds import generator


class Adversary:
    """Attack on the first images of every batch, which are in random order anyway.

    The perturbation depends on the network's weights, the batch, and the numbers of epoch and
    batch; so a training that is resumed after an epoch ends with the same bytes.
    """

    def __init__(self, model: keras.Model, settings: AdversarySettings, seed: int) -> None:
        """model: the network that is being trained. seed: of the training."""
        self.settings, self.seed = settings, seed
        self.epsilon = settings.epsilon / 255
        self._gradients: Callable[[np.ndarray, np.ndarray], np.ndarray] = gradient_function(model)

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, epoch: int, batch: int
    ) -> np.ndarray:
        """Replace a share of the batch by adversarial images: float32 (b, h, w, c) in [0, 1].

        images: float32 (b, h, w, c) in [0, 1]. targets: float32 (b, n_classes), class
        probabilities, one-hot or mixed; the attack raises the cross-entropy against them.
        """
        n = ceil(self.settings.share * len(images))
        selected, signs = images[:n], partial(self._signs, targets=targets[:n])
        if self.settings.attack == "fgsm":
            adversarial = clipped_step(selected, signs(selected), self.epsilon)
        else:
            random = generator(self.seed, "epoch", epoch, "batch", batch, "adversary")
            offsets = random.uniform(-1, 1, selected.shape).astype(np.float32)
            adversarial = projected_steps(
                selected,
                clipped_step(selected, offsets, self.epsilon),
                signs,
                epsilon=self.epsilon,
                n_steps=self.settings.n_steps,
            )
        return np.concatenate([adversarial, images[n:]])

    def _signs(self, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.sign(self._gradients(images, targets))
