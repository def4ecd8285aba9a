"""Table 5-calibration and the reliability diagrams: what the probabilities are worth."""

from typing import Any

from matplotlib.axes import Axes

from flowers17.ensemble.calibration import N_BINS, Reliability, reliability, tempered
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.drawing import ACCENT, LINE, MUTED, canvas, say, svg_text
from flowers17.reporting.ensembles.cells import (
    combined,
    ensemble_title,
    group_title,
    mains,
    method_title,
    split_title,
    suffix_of,
    tag_of,
)
from flowers17.reporting.ensembles.records import Calibration, Ensemble
from flowers17.reporting.figures import Figure, drawn
from flowers17.reporting.tables import Cell, Column, Row, Table
from flowers17.reporting.wording import capital

_GAP, _LEFT, _TOP, _SIDE = 34.0, 32.0, 24.0, 140.0
_BY = {"refit": "refit", "average": "fold models averaged"}


def calibration_table(inputs: ReportInputs) -> Table:
    """Return Table 5-calibration: log loss and calibration error before and after tempering."""
    rows = [_row(inputs, one, found) for one in combined(inputs) for found in one.calibrations]
    columns: list[Column[Any]] = [
        Column("method", "Method", numeric=False),
        Column("by", "Given", numeric=False),
        Column("temperature", "Temperature"),
    ]
    for key, group in (("log_loss", "Log loss"), ("error", "Expected calibration error")):
        columns += [
            Column(key, "before", group=group),
            Column(f"calibrated_{key}", "after", group=group),
        ]
    return Table(
        "5-calibration",
        "What the probabilities are worth: calibration by temperature",
        tuple(columns),
        tuple(rows),
        lead="On the validation images, before and after temperature scaling. The temperature is "
        "fitted on the cross-validated probabilities of the training images.",
        notes=(
            "A temperature above 1 makes probabilities less certain, one below 1 more; the class "
            "predicted stays the same. Expected calibration error: the mean difference of "
            f"confidence and accuracy over {N_BINS} bins of confidence (Naeini et al. 2015).",
        ),
    )


def _row(inputs: ReportInputs, one: Ensemble, found: Calibration) -> Row:
    source = one.stacked.reference if one.stacked else None
    numbers = (
        found.log_loss,
        found.calibrated_log_loss,
        found.error,
        found.calibrated_error,
    )
    cells = (
        Cell(method_title(found.method), found.method),
        Cell(_BY[found.by], found.by),
        Cell(f"{found.temperature:.2f}", found.temperature, artifact=source),
        *(Cell(f"{value:.3f}", value, artifact=source) for value in numbers),
    )
    return Row(cells, group_title(inputs, one), tag_of(inputs, one.name))


def reliability_figures(inputs: ReportInputs) -> list[Figure]:
    """Return Figure 5-reliability of each ensemble: its chosen method, on its first split."""
    return [_reliability_figure(inputs, one) for one in mains(inputs)]


def _reliability_figure(inputs: ReportInputs, one: Ensemble) -> Figure:
    number, (method, by) = f"5{suffix_of(inputs, one.name)}-reliability", one.chosen
    found = next(c for c in one.calibrations if (c.method, c.by) == (method, by))
    before = one.proba(method, by)
    panels = (
        ("before", before, found.error),
        (f"after, temperature {found.temperature:.2f}", tempered(before, found.temperature), None),
    )
    with canvas(_TOP + _SIDE + 34, salt=f"figure-{number}") as (figure, axes):
        for place, (title, proba, _) in enumerate(panels):
            left = _LEFT + place * (_SIDE + _GAP)
            _panel(axes, left, title, reliability(proba, one.truth, N_BINS))
        text = svg_text(figure)
    caption = (
        f"{capital(ensemble_title(inputs, one.name))}, {method_title(method)}, on "
        f"{split_title(one)}. A dot is the accuracy of the images whose confidence lies in one of "
        f"{N_BINS} bins, at their mean confidence; its size is their number. On the dashed line "
        "confidence and accuracy are equal. Expected calibration error: "
        f"{found.error:.3f} before, {found.calibrated_error:.3f} after."
    )
    used = (one.stacked.reference,) if one.stacked else ()
    return drawn(number, "Reliability of the probabilities", caption, text, used)


def _panel(axes: Axes, left: float, title: str, bins: Reliability) -> None:
    bottom = _TOP + _SIDE
    say(axes, left, 12, title, ha="left", weight="bold")
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = bottom - tick * _SIDE, left + tick * _SIDE
        axes.plot([left, left + _SIDE], [y, y], color=LINE, lw=0.8)
        axes.plot([x, x], [_TOP, bottom], color=LINE, lw=0.8)
        say(axes, left - 4, y, f"{tick:g}", ha="right", color=MUTED, size=8)
        say(axes, x, bottom + 9, f"{tick:g}", color=MUTED, size=8)
    axes.plot([left, left + _SIDE], [bottom, _TOP], color=MUTED, lw=1, linestyle=(0, (3, 2)))
    say(axes, left + _SIDE / 2, bottom + 24, "accuracy by confidence", color=MUTED)
    total = max(1, int(bins.n_images.sum()))
    seen = [index for index in range(len(bins.n_images)) if bins.n_images[index]]
    points = [
        (left + _SIDE * bins.confidence[index], bottom - _SIDE * bins.accuracy[index])
        for index in seen
    ]
    for index, (x, y) in zip(seen, points, strict=True):
        size = 3.0 + 11.0 * float(bins.n_images[index] / total) ** 0.5
        axes.plot([x], [y], marker="o", markersize=size, color=ACCENT, alpha=0.75, mew=0)
