"""Discriminative learning rates: one optimizer a rate, together the optimizer of one network.

Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2.
"""

from collections.abc import Sequence
from typing import Any

import keras


class Discriminative(keras.optimizers.Optimizer):
    """Optimizers at different rates, each of which updates some of a network's variables.

    Each is whole, so that its schedule, momentum and weight decay follow its own rate.
    optimizers: not yet built, that of the highest rate first. owners: for each variable that it is
    built on, the place of the optimizer that updates it.
    """

    def __init__(
        self, optimizers: Sequence[keras.optimizers.Optimizer], owners: Sequence[int]
    ) -> None:
        super().__init__(learning_rate=0.0)
        self.optimizers, self.owners = tuple(optimizers), tuple(owners)

    def build(self, variables: Sequence[Any]) -> None:
        """Create the state of each optimizer."""
        super().build(variables)
        for one, its in zip(self.optimizers, self._shared_out(variables), strict=True):
            one.build(its)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update each variable by its optimizer."""
        known = trainable_variables or [None] * len(grads)
        shares = zip(self._shared_out(grads), self._shared_out(known), strict=True)
        for one, (gradients, variables) in zip(self.optimizers, shares, strict=True):
            one.apply(gradients, variables if trainable_variables else None)

    @property
    def variables(self) -> list[Any]:
        """The state of all optimizers; it has none of its own."""
        return [variable for one in self.optimizers for variable in one.variables]

    @property
    def learning_rate(self) -> Any:
        """The highest rate."""
        return self.optimizers[0].learning_rate

    @property
    def iterations(self) -> Any:
        """Steps done."""
        return self.optimizers[0].iterations

    def _shared_out(self, values: Sequence[Any]) -> list[list[Any]]:
        """Return each optimizer's own of values that are given for every variable."""
        found: list[list[Any]] = [[] for _ in self.optimizers]
        for value, owner in zip(values, self.owners, strict=True):
            found[owner].append(value)
        return found
