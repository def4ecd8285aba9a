"""Table 5-calibration and the reliability diagrams: what the probabilities are worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.ensemble.calibration import N_BINS, Reliability, reliability, tempered
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import Calibration, EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.figures import Figure, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Column, Record, Table

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
    titles = "before", f"after, temperature {temperature:.2f}"
    panels = [
        _panel(title, reliability(proba, result.truth, N_BINS))
        for title, proba in zip(titles, (before, tempered(before, temperature)), strict=True)
    ]
    text = from_template("squares.svg", width=WIDTH, beside="accuracy of its images", panels=panels)
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


def _panel(title: str, bins: Reliability) -> dict[str, Any]:
    radii = 1.5 + 5.5 * np.sqrt(bins.n_images / max(1, int(bins.n_images.sum())))
    dots = np.column_stack([bins.confidence, bins.accuracy, radii])[bins.n_images > 0].tolist()
    return {"title": title, "below": "mean confidence of a bin", "diagonal": True, "dots": dots}
