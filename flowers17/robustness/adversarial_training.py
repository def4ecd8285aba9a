"""Adversarial examples among the batches of a training, made against the network as it is then.

Source: Goodfellow et al. 2015, arXiv:1412.6572, section 6 (one step); Madry et al. 2018,
arXiv:1706.06083, section 2.1 (several); Kurakin et al. 2017, arXiv:1611.01236, section 3 (clean
and adversarial images in one batch).
"""

from collections.abc import Callable
from math import ceil

import keras
import numpy as np

from flowers17.config import AdversarySettings
from flowers17.robustness.fgsm import stepped
from flowers17.robustness.gradients import gradient_function
from flowers17.seeds import generator

# Steps together reach this many budgets far, so that a start at one edge finds the other.
REACH = 2.5


class Adversary:
    """Attacks the first images of every batch, which are in random order anyway.

    What it makes depends on the network's weights, the batch, and the numbers of epoch and batch;
    so a training that is resumed after an epoch ends with the same bytes.
    """

    def __init__(self, model: keras.Model, settings: AdversarySettings, seed: int) -> None:
        """Attack a model that is being trained; seed: of the training."""
        self.settings, self.seed = settings, seed
        self.epsilon = settings.epsilon / 255
        self._gradients: Callable[[np.ndarray, np.ndarray], np.ndarray] = gradient_function(model)

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, epoch: int, batch: int
    ) -> np.ndarray:
        """Return the batch with a share of it attacked: float32 (b, h, w, c) in [0, 1].

        images: float32 (b, h, w, c) in [0, 1]. targets: float32 (b, n_classes), in sum 1, such as
        mixed ones; the attack raises the cross-entropy against them.
        """
        n = ceil(self.settings.share * len(images))
        attacked, wanted = images[:n], targets[:n]
        if self.settings.attack == "fgsm":
            found = stepped(attacked, self._signs(attacked, wanted), self.epsilon)
        else:
            random = generator(self.seed, "epoch", epoch, "batch", batch, "adversary")
            found = self._descended(attacked, wanted, random)
        return np.concatenate([found, images[n:]])

    def _descended(
        self, images: np.ndarray, targets: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        epsilon, n_steps = self.epsilon, self.settings.n_steps
        low, high = images - np.float32(epsilon), images + np.float32(epsilon)
        start = random.uniform(-1, 1, images.shape).astype(np.float32)
        moved = stepped(images, start, epsilon)
        for _ in range(n_steps):
            signs = self._signs(moved, targets)
            moved = np.clip(stepped(moved, signs, REACH * epsilon / n_steps), low, high)
        return moved

    def _signs(self, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.sign(self._gradients(images, targets))
