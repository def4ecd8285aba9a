"""Parts of a recipe in Keras: optimizer, learning rates and their schedule, mixup."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flowers17.config import RecipeSettings


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


class DiscriminativeOptimizer(keras.optimizers.Optimizer):
    """Discriminative learning rates: one optimizer for each rate, which updates its own variables.

    Schedule, momentum and weight decay of each follow its own rate.
    optimizers: not yet built, that of the highest rate first. owners: for each variable, the index
    of the optimizer that updates it.
    Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2.
    """

    def __init__(
        self, optimizers: Sequence[keras.optimizers.Optimizer], owners: Sequence[int]
    ) -> None:
        super().__init__(learning_rate=0.0)
        self.optimizers, self.owners = tuple(optimizers), tuple(owners)

    def build(self, variables: Sequence[Any]) -> None:
        """Create the state of each optimizer."""
        super().build(variables)
        for optimizer, share in zip(self.optimizers, self._by_optimizer(variables), strict=True):
            optimizer.build(share)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update each variable by its optimizer."""
        variables_or_none = trainable_variables or [None] * len(grads)
        shares = zip(self._by_optimizer(grads), self._by_optimizer(variables_or_none), strict=True)
        for optimizer, (gradients, variables) in zip(self.optimizers, shares, strict=True):
            optimizer.apply(gradients, variables if trainable_variables else None)

    @property
    def variables(self) -> list[Any]:
        """The state of all optimizers."""
        return [variable for optimizer in self.optimizers for variable in optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The highest rate."""
        return self.optimizers[0].learning_rate

    @property
    def iterations(self) -> Any:
        """Number of steps so far."""
        return self.optimizers[0].iterations

    def _by_optimizer(self, values: Sequence[Any]) -> list[list[Any]]:
        """Values, one for each variable, grouped by the optimizer that updates the variable."""
        groups: list[list[Any]] = [[] for _ in self.optimizers]
        for value, owner in zip(values, self.owners, strict=True):
            groups[owner].append(value)
        return groups


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
