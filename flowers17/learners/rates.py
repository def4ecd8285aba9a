"""Discriminative learning rates: parts of a network trained at different rates.

Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2.
"""

from collections.abc import Sequence
from typing import Any

import keras


class DiscriminativeOptimizer(keras.optimizers.Optimizer):
    """One optimizer for each learning rate; each updates its own variables.

    Schedule, momentum and weight decay of each follow its own rate.
    optimizers: not yet built, that of the highest rate first. owners: for each variable, the index
    of the optimizer that updates it.
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
