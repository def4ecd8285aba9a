"""Learning curves: loss and accuracy by epoch, one training a row, by `templates/curves.svg`.

Both the report's figures and what a person watches while a network trains come from here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from flowers17.errors import InvalidInput
from flowers17.reporting.drawing import from_template, standalone

LOSS_CUT = 2.0


@dataclass(frozen=True)
class Curves:
    """One training as it is drawn.

    history: one mapping an epoch with `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`; a
    value that is missing or not finite leaves a gap. kept_epoch: whose weights are kept.
    note: in few words, at the right. parts: names of parts of the training, by the epoch that each
    begins with.
    """

    title: str
    history: Sequence[Mapping[str, Any]]
    kept_epoch: int | None = None
    note: str = ""
    parts: Mapping[int, str] = field(default_factory=dict)

    def runs(self, key: str) -> Iterator[list[tuple[int, float]]]:
        """Yield epochs and values of a curve, piece by piece between its gaps."""
        points = [(epoch["epoch"], _finite(epoch.get(key))) for epoch in self.history]
        for known, run in groupby(points, lambda point: point[1] is not None):
            if known:
                yield [(epoch, value) for epoch, value in run if value is not None]


def curves_svg(history: Sequence[Mapping[str, Any]], title: str) -> str:
    """An SVG file of one training so far, from its first epoch on.

    history: as in `Curves`, in the order of epochs.
    Raises InvalidInput without any epoch.
    """
    if not history:
        raise InvalidInput(
            "history: expected at least one epoch, got none; draw once an epoch has ended"
        )
    latest = history[-1]
    note = f"epoch {latest['epoch']}"
    accuracy = _finite(latest.get("val_accuracy"))
    if accuracy is not None:
        note += f", validation accuracy {accuracy:.3f}"
    return standalone(grid_svg([Curves(title, history, note=note)]), title)


def grid_svg(rows: Sequence[Curves]) -> str:
    """An SVG element of several trainings, below each other and on the same axes."""
    last = max((int(epoch["epoch"]) for row in rows for epoch in row.history), default=1)
    highest = loss_limit(rows)
    return from_template(
        "curves.svg",
        rows=rows,
        last_epoch=last,
        epochs=[1, *(int(t) for t in ticks(last, 5) if t > 1 and t == int(t))],
        metrics={
            "loss": (highest, [0.0, *ticks(highest, 4)]),
            "accuracy": (1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        },
    )


def loss_limit(rows: Sequence[Curves]) -> float:
    """The upper end of the axis of losses: the highest loss, or less if it runs away.

    A validation loss above twice the highest training loss is cut off, so that the others can be
    read.
    """
    training = [value for row in rows for value in _values(row, "loss")]
    validation = [value for row in rows for value in _values(row, "val_loss")]
    highest = max([*training, *validation], default=1.0)
    if training:
        highest = min(highest, LOSS_CUT * max(training))
    return highest * 1.04 or 1.0


def is_cut(rows: Sequence[Curves]) -> bool:
    """Whether a loss leaves the axis."""
    limit = loss_limit(rows)
    return any(value > limit for row in rows for value in _values(row, "val_loss"))


def ticks(highest: float, n: int) -> list[float]:
    """Up to n round numbers above 0 and up to the highest, evenly apart.

    >>> ticks(3.1, 4), ticks(150, 6)
    ([1.0, 2.0, 3.0], [50.0, 100.0, 150.0])
    """
    if highest <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(highest / n))
    step = next(power * k for k in (1, 2, 5, 10) if highest / (power * k) < n + 1e-9)
    return [round(step * (i + 1), 10) for i in range(int(highest / step + 1e-9))]


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _values(row: Curves, key: str) -> Iterator[float]:
    values = (_finite(epoch.get(key)) for epoch in row.history)
    yield from (value for value in values if value is not None)
