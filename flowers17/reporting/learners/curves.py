"""Learning curves: loss and accuracy by epoch, one training a row, written as SVG by hand.

Both the report's figures and what a person watches while a network trains come from here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowers17.errors import InvalidInput
from flowers17.reporting.drawing import ACCENT, INK, LINE, MUTED, PAPER, WARM, WIDTH, standalone

LOSS_CUT = 2.0
_LEFT, _GAP, _RIGHT = 30.0, 36.0, 8.0
_PANEL_WIDTH = (WIDTH - _LEFT - _GAP - _RIGHT) / 2
_PANEL_HEIGHT, _HEAD, _LEGEND, _FOOT, _BETWEEN = 86.0, 20.0, 20.0, 33.0, 12.0


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


@dataclass(frozen=True)
class _Panel:
    """A rectangle of the drawing, and the ends of its axes."""

    left: float
    top: float
    last_epoch: int
    highest: float

    def x(self, epoch: float) -> float:
        return self.left + _PANEL_WIDTH * (epoch - 1) / max(1, self.last_epoch - 1)

    def y(self, value: float) -> float:
        return self.top + _PANEL_HEIGHT * (1 - value / self.highest)


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
    step = _HEAD + _PANEL_HEIGHT + _BETWEEN
    height = _LEGEND + step * len(rows) - _BETWEEN + _FOOT
    parts = [*_legend()]
    for index, row in enumerate(rows):
        top = _LEGEND + step * index
        parts.append(_text(4, top + 13, row.title, INK, "start", "; font-weight: bold"))
        parts.append(_text(WIDTH - _RIGHT, top + 13, row.note, MUTED, "end"))
        panels = (
            (_Panel(_LEFT, top + _HEAD, last, highest), "loss"),
            (_Panel(_LEFT + _PANEL_WIDTH + _GAP, top + _HEAD, last, 1.0), "accuracy"),
        )
        for panel, metric in panels:
            parts += _drawn(panel, metric, row, f"panel-{index}-{metric}")
            if index == len(rows) - 1:
                parts += _epochs(panel, metric)
    return (
        '<svg stroke-linejoin="round" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {WIDTH} {height:g}" version="1.1">\n' + "\n".join(parts) + "\n</svg>"
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


def curves_caption(rows: Sequence[Curves], differences: str) -> str:
    """What a caption adds: that losses are cut off, and how data differ from the study."""
    text = " Losses above the axis are cut off." if is_cut(rows) else ""
    return text + (f" Not a comparison with the study ({differences})." if differences else "")


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


def _drawn(panel: _Panel, metric: str, row: Curves, clip: str) -> Iterator[str]:
    right, bottom = panel.left + _PANEL_WIDTH, panel.top + _PANEL_HEIGHT
    levels = ticks(panel.highest, 4) if metric == "loss" else [0.25, 0.5, 0.75, 1.0]
    for level in [0.0, *levels]:
        y = panel.y(level)
        yield _line(panel.left, y, right, y, LINE, 0.8)
        yield _text(panel.left - 4, y + 3, f"{level:g}", MUTED, "end")
    yield (
        f'<clipPath id="{clip}"><rect x="{panel.left - 4:g}" y="{panel.top - 4:g}" '
        f'width="{_PANEL_WIDTH + 8:g}" height="{_PANEL_HEIGHT + 8:g}"/></clipPath>'
    )
    for first, name in row.parts.items():
        x = panel.x(max(1, first - 0.5))
        yield _line(x, panel.top, x, bottom, LINE, 0.8)
        yield _text(x + 3, panel.top + 8, name, MUTED, "start")
    yield f'<g clip-path="url(#{clip})">'
    if row.kept_epoch is not None:
        x = panel.x(row.kept_epoch)
        yield _line(x, panel.top, x, bottom, MUTED, 0.8, "; stroke-dasharray: 2 2")
    for key, colour, width in ((metric, ACCENT, 1.2), (f"val_{metric}", WARM, 1.6)):
        yield from _curve(panel, row.history, key, colour, width)
    for epoch in row.history:
        value = _finite(epoch.get(f"val_{metric}"))
        if row.kept_epoch == epoch["epoch"] and value is not None:
            yield _dot(panel.x(epoch["epoch"]), panel.y(value), 3.4, WARM, PAPER)
    yield "</g>"


def _curve(
    panel: _Panel, history: Sequence[Mapping[str, Any]], key: str, colour: str, width: float
) -> Iterator[str]:
    run: list[tuple[float, float]] = []
    for epoch in [*history, {}]:
        value = _finite(epoch.get(key))
        if value is not None:
            run.append((panel.x(epoch["epoch"]), panel.y(value)))
        elif run:
            if len(run) == 1:
                yield _dot(*run[0], 2.2, colour, colour)
            else:
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
                style = f"fill: none; stroke: {colour}; stroke-width: {width}"
                yield f'<polyline points="{points}" style="{style}"/>'
            run = []


def _epochs(panel: _Panel, metric: str) -> Iterator[str]:
    y = panel.top + _PANEL_HEIGHT + 13
    shown = [1, *(int(t) for t in ticks(panel.last_epoch, 5) if t >= 1 and t == int(t))]
    apart = [e for e in shown if e == 1 or panel.x(e) - panel.left > 14]
    for epoch in dict.fromkeys(apart):
        yield _text(panel.x(epoch), y, str(epoch), MUTED, "middle")
    yield _text(panel.left + _PANEL_WIDTH / 2, y + 14, f"{metric} by epoch", MUTED, "middle")


def _legend() -> Iterator[str]:
    for x, colour, name in ((4, ACCENT, "training"), (70, WARM, "validation")):
        yield _line(x, 8, x + 12, 8, colour, 2)
        yield _text(x + 16, 11, name, MUTED, "start")


def _text(x: float, y: float, text: str, colour: str, anchor: str, more: str = "") -> str:
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    style = f"font-size: 9px{more}; text-anchor: {anchor}; fill: {colour}"
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{text}</text>'


def _line(
    x: float, y: float, to_x: float, to_y: float, colour: str, width: float, more: str = ""
) -> str:
    style = f"stroke: {colour}; stroke-width: {width}{more}"
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" style="{style}"/>'


def _dot(x: float, y: float, radius: float, fill: str, edge: str) -> str:
    style = f"fill: {fill}; stroke: {edge}; stroke-width: 1"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" style="{style}"/>'
