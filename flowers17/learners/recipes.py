"""Parts of a recipe in Keras: optimizer, learning-rate schedule, mixup."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flowers17.config import RecipeSettings
from flowers17.learners.rates import DiscriminativeOptimizer


@keras.saving.register_keras_serializable("flowers17")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Learning-rate schedule: a linear rise to the highest rate, then half a cosine to zero.

    highest: the peak rate. n_steps: of the whole training. warmup: the rise's share, in [0, 1).
    Source: Smith and Topin 2017, arXiv:1708.07120; the cosine is Loshchilov and Hutter's.
    """

    def __init__(self, highest: float, n_steps: int, warmup: float) -> None:
        self.highest, self.n_steps, self.warmup = highest, n_steps, warmup

    def __call__(self, step: Any) -> Any:
        """Learning rate of a step, counted from 0."""
        progress = (ops.cast(step, "float32") + 1.0) / self.n_steps
        rise = progress / self.warmup if self.warmup else ops.ones_like(progress)
        fall = (1.0 + ops.cos(math.pi * (progress - self.warmup) / (1.0 - self.warmup))) / 2.0
        return self.highest * ops.where(progress < self.warmup, rise, ops.clip(fall, 0.0, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {"highest": self.highest, "n_steps": self.n_steps, "warmup": self.warmup}


def optimizer(
    recipe: RecipeSettings, steps_per_epoch: int, rates: Sequence[float] = ()
) -> keras.optimizers.Optimizer:
    """Optimizer of a recipe, its weight decay without biases and norms.

    rates: learning rate of each variable, as a factor of the recipe's; empty: all are 1.
    """
    if set(rates) - {1.0}:
        factors = sorted(set(rates), reverse=True)
        scaled_recipes = [
            recipe.model_copy(update={"learning_rate": factor * recipe.learning_rate})
            for factor in factors
        ]
        return DiscriminativeOptimizer(
            [optimizer(scaled, steps_per_epoch) for scaled in scaled_recipes],
            [factors.index(rate) for rate in rates],
        )
    rate: Any = recipe.learning_rate
    if recipe.schedule == "one-cycle":
        rate = OneCycle(recipe.learning_rate, recipe.epochs * steps_per_epoch, recipe.warmup)
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        base_optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    else:
        base_optimizer = keras.optimizers.SGD(
            rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay
        )
    if recipe.weight_decay:
        base_optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return base_optimizer


def mixup(
    images: np.ndarray, targets: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mixup: blend each image of a batch with another one, and their targets likewise.

    images: float32 (b, h, w, c). targets: float32 (b, n_classes). The batch has one mixing share,
    drawn from Beta(alpha, alpha).
    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    share = np.float32(rng.beta(alpha, alpha))
    partners = rng.permutation(len(images))
    return (
        share * images + (1 - share) * images[partners],
        share * targets + (1 - share) * targets[partners],
    )
