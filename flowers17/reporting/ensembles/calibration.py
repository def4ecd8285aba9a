"""Table 5-calibration and the reliability diagrams: what the probabilities are worth."""

from dataclasses import dataclass

from matplotlib.axes import Axes

from flowers17.ensemble.calibration import N_BINS, Reliability, reliability, tempered
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.drawing import ACCENT, MUTED, canvas, say, svg_text, unit_square
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import Calibration, EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.figures import Figure, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Column, Record, Table

_GAP, _LEFT, _TOP, _SIDE = 30.0, 44.0, 24.0, 138.0
_BY = {"refit": "refit", "average": "fold models averaged"}


@dataclass(frozen=True)
class CalibrationRecord(Record):
    """The calibration of one method on one split."""

    of: Calibration


_LOSS, _ERROR = "Log loss", "Expected calibration error"
_COLUMNS: tuple[Column[CalibrationRecord], ...] = (
    text_column("method", "Method", lambda r: method_title(r.of.method), lambda r: r.of.method),
    text_column("by", "Given", lambda r: _BY[r.of.by], lambda r: r.of.by),
    number_column("temperature", "Temperature", lambda r: r.of.temperature, ".2f"),
    number_column("log_loss", "before", lambda r: r.of.log_loss, group=_LOSS),
    number_column("calibrated_log_loss", "after", lambda r: r.of.calibrated_log_loss, group=_LOSS),
    number_column("error", "before", lambda r: r.of.expected_calibration_error, group=_ERROR),
    number_column(
        "calibrated_error",
        "after",
        lambda r: r.of.calibrated_expected_calibration_error,
        group=_ERROR,
    ),
)


def calibration_table(inputs: ReportInputs) -> Table:
    """Table 5-calibration: log loss and calibration error before and after tempering."""
    return Table(
        "5-calibration",
        "What the probabilities are worth: calibration by temperature",
        _COLUMNS,
        [
            CalibrationRecord(
                calibration,
                group=ensemble.heading(result),
                tag=ensemble.tag,
                source=result.reference,
            )
            for ensemble in ensembles_of(inputs)
            for result in ensemble.combined
            for calibration in result.calibrations
        ],
        lead="On the validation images, before and after temperature scaling. The temperature is "
        "fitted on the cross-validated probabilities of the training images.",
        notes=(
            "A temperature above 1 makes probabilities less certain, one below 1 more; the class "
            "predicted stays the same. Expected calibration error: the mean difference of "
            f"confidence and accuracy over {N_BINS} bins of confidence (Naeini et al. 2015).",
        ),
    )


def reliability_figure(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5-reliability of an ensemble: its chosen method on one split."""
    number, (method, by) = f"5{ensemble.suffix}-reliability", result.chosen
    calibration = next(c for c in result.calibrations if (c.method, c.by) == (method, by))
    temperature, before = calibration.temperature, result.proba(method, by)
    panels = {
        "before": before,
        f"after, temperature {temperature:.2f}": tempered(before, temperature),
    }
    with canvas(_TOP + _SIDE + 34, salt=f"figure-{number}") as (figure, axes):
        for index, (title, proba) in enumerate(panels.items()):
            left = _LEFT + index * (_SIDE + _GAP)
            _panel(axes, left, title, reliability(proba, result.truth, N_BINS))
        say(axes, 7, _TOP + _SIDE / 2, "accuracy of its images", rotation=90, color=MUTED)
        text = svg_text(figure)
    caption = (
        f"{ensemble.capital_title}, {method_title(method)}, on {result.split_title}. A dot is the "
        f"accuracy of the images whose confidence lies in one of {N_BINS} bins, at their mean "
        "confidence; its size is their number. On the dashed line confidence and accuracy are "
        "equal. Expected calibration error: "
        f"{calibration.expected_calibration_error:.3f} before, "
        f"{calibration.calibrated_expected_calibration_error:.3f} after."
    )
    title, used = "Reliability of the probabilities", (result.reference,)
    return drawn(number, title, caption, text, used, behind="5-calibration")


def _panel(axes: Axes, left: float, title: str, bins: Reliability) -> None:
    bottom = _TOP + _SIDE
    unit_square(axes, left, _TOP, _SIDE, title, "mean confidence of a bin")
    axes.plot([left, left + _SIDE], [bottom, _TOP], color=MUTED, lw=1, linestyle=(0, (3, 2)))
    total = max(1, int(bins.n_images.sum()))
    for confidence, accuracy, n_images in zip(
        bins.confidence, bins.accuracy, bins.n_images, strict=True
    ):
        if not n_images:
            continue
        x, y = left + _SIDE * confidence, bottom - _SIDE * accuracy
        size = 3.0 + 11.0 * float(n_images / total) ** 0.5
        axes.plot([x], [y], marker="o", markersize=size, color=ACCENT, alpha=0.75, mew=0)
