"""A recipe's parts in Keras: the optimizer, its learning rate, the loss; and mixed batches."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flowers17.config import RecipeSettings
from flowers17.learners.rates import Discriminative


@keras.saving.register_keras_serializable("flowers17")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the highest rate, then half a cosine down to zero.

    Source: Smith and Topin 2017, arXiv:1708.07120; the cosine is Loshchilov and Hutter's.
    """

    def __init__(self, highest: float, n_steps: int, warmup: float) -> None:
        self.highest, self.n_steps, self.warmup = highest, n_steps, warmup

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        at = (ops.cast(step, "float32") + 1.0) / self.n_steps
        rise = at / self.warmup if self.warmup else ops.ones_like(at)
        fall = (1.0 + ops.cos(math.pi * (at - self.warmup) / (1.0 - self.warmup))) / 2.0
        return self.highest * ops.where(at < self.warmup, rise, ops.clip(fall, 0.0, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Return what the schedule is built from."""
        return {"highest": self.highest, "n_steps": self.n_steps, "warmup": self.warmup}


def optimizer(
    recipe: RecipeSettings, steps_per_epoch: int, rates: Sequence[float] = ()
) -> keras.optimizers.Optimizer:
    """Return the optimizer that the recipe names; biases and norms do not decay.

    rates: of each variable that it is to be built on, as a part of the recipe's; none: all are 1.
    """
    if set(rates) - {1.0}:
        parts = sorted(set(rates), reverse=True)
        slower = [
            recipe.model_copy(update={"learning_rate": part * recipe.learning_rate})
            for part in parts
        ]
        return Discriminative(
            [optimizer(one, steps_per_epoch) for one in slower], [parts.index(one) for one in rates]
        )
    rate: Any = recipe.learning_rate
    if recipe.schedule == "one-cycle":
        rate = OneCycle(recipe.learning_rate, recipe.epochs * steps_per_epoch, recipe.warmup)
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        made = keras.optimizers.Adam(rate, weight_decay=decay)
    else:
        made = keras.optimizers.SGD(
            rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay
        )
    if recipe.weight_decay:
        made.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return made


def mixed(
    images: np.ndarray, targets: np.ndarray, alpha: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch in which each image is blended with another of the batch, targets likewise.

    images: float32 (b, h, w, c). targets: float32 (b, n_classes). One share for the whole batch.
    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    share = np.float32(random.beta(alpha, alpha))
    other = random.permutation(len(images))
    return (
        share * images + (1 - share) * images[other],
        share * targets + (1 - share) * targets[other],
    )
