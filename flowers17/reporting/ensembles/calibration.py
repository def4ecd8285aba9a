"""Table 5-calibration and the reliability diagrams: what the probabilities are worth."""

from typing import Any

import numpy as np

from flowers17.ensemble.calibration import N_BINS, Reliability, reliability, tempered
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import Calibration, EnsembleResult
from flowers17.reporting.figures import Figure, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import Column, RecordOf, Table
from flowers17.reporting.titles import method_title
from flowers17.reporting.words import worded_table

_BY = {"refit": "refit", "average": "fold models averaged"}


_LOSS, _ERROR = "Log loss", "Expected calibration error"
_COLUMNS: tuple[Column[RecordOf[Calibration]], ...] = (
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
    records = [
        RecordOf(
            calibration,
            group=ensemble.heading(result),
            tag=ensemble.tag,
            source=result.reference,
        )
        for ensemble in ensembles_of(inputs)
        for result in ensemble.combined
        for calibration in result.calibrations
    ]
    return worded_table("5-calibration", _COLUMNS, records, n_bins=N_BINS)


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
    return drawn(
        number,
        from_template("squares.svg", width=WIDTH, beside="accuracy of its images", panels=panels),
        (result.reference,),
        behind="5-calibration",
        name="5-reliability",
        ensemble=ensemble,
        method=method_title(method),
        result=result,
        n_bins=N_BINS,
        calibration=calibration,
    )


def _panel(title: str, bins: Reliability) -> dict[str, Any]:
    radii = 1.5 + 5.5 * np.sqrt(bins.n_images / max(1, int(bins.n_images.sum())))
    dots = np.column_stack([bins.confidence, bins.accuracy, radii])[bins.n_images > 0].tolist()
    return {"title": title, "below": "mean confidence of a bin", "diagonal": True, "dots": dots}
