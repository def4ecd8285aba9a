"""Figures 5 and 6: forward pass, confusions, reliability, and the importance of each output."""

from typing import Any

import numpy as np

from flowers17.ensemble.calibration import N_BINS, Reliability, reliability, tempered
from flowers17.reporting.classes.figures import mistakes
from flowers17.reporting.confusion_figures import confusion, matrix_figure
from flowers17.reporting.drawing import from_template
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult, Member
from flowers17.reporting.figures import Figure, class_labels, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.curves import ticks
from flowers17.reporting.titles import method_title

MAX_CLASSES_NAMED = 20


def ensemble_figures(inputs: ReportInputs) -> list[Figure]:
    """Figures 5 and 6 and what goes with them, of each ensemble on its first split."""
    figures = [
        figure(ensemble, ensemble.first)
        for figure in (
            forward_pass,
            confusion_matrix,
            confused_pairs,
            reliability_figure,
            importances_figure,
        )
        for ensemble in ensembles_of(inputs)
        if ensemble.first
    ]
    return [figure for figure in figures if figure]


def forward_pass(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5 of an ensemble: members, their outputs side by side, meta-learner, class.

    Numbers of layers, outputs and rows are those of this run.
    """
    drawing = from_template(
        "ensemble.svg",
        size=ensemble.inputs.study.dataset.image_size,
        n_classes=len(result.classes),
        members=[_member(ensemble, member) for member in result.members],
        chosen=method_title(result.chosen[0]).split(", "),
        accuracy=result.chosen_score.accuracy,
    )
    return drawn(
        f"5{ensemble.suffix}",
        drawing,
        (result.folds.reference, result.reference),
        behind=f"4{ensemble.suffix}",
        name="5",
        ensemble=ensemble,
        result=result,
    )


def _member(ensemble: Ensemble, member: Member) -> tuple[str, str]:
    """A member's name and how many weights it has, if that is known."""
    title = ensemble.member_title(member.name) if ensemble.is_study else member.name
    if member.n_parameters is None:
        return shortened(title, 24), ""
    return shortened(title, 17), f"{member.n_parameters / 1e6:.1f} M"


def importances_figure(ensemble: Ensemble, result: EnsembleResult) -> Figure | None:
    """Figure 6 of an ensemble whose random forest's importances were measured."""
    if not result.importances:
        return None
    number, values = f"6{ensemble.suffix}", result.importances["impurity"]
    n, c = len(result.members), len(result.classes)
    by_member = [
        [values[f"{member.name}/{name}"] for name in result.classes] for member in result.members
    ]
    highest = max(max(row) for row in by_member) or 1.0
    named = c <= MAX_CLASSES_NAMED
    labels, note = class_labels(result.classes if named else ())
    drawing = from_template(
        "importances.svg",
        n_classes=c,
        members=[
            (
                shortened(ensemble.member_title(member.name), 40),
                result.impurity[member.name],
                outputs,
            )
            for member, outputs in zip(result.members, by_member, strict=True)
        ],
        highest=highest,
        levels=[0.0, *ticks(highest, 2)],
        labels=labels,
    )
    return drawn(
        number,
        drawing,
        (result.reference,),
        behind=number,
        name="6",
        ensemble=ensemble,
        result=result,
        n_outputs=n * c,
        note=note,
        named=named,
    )


def confusion_matrix(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5-confusion of an ensemble: its chosen method on one split."""
    predicted = result.predicted(*result.chosen)
    counts = confusion(result.truth, predicted, len(result.classes))
    right = f"{result.chosen_score.n_correct} of {len(result.rows)} right"
    return matrix_figure(
        f"5{ensemble.suffix}-confusion",
        counts,
        result.classes,
        (result.reference,),
        behind=f"5{ensemble.suffix}",
        subject=f"{_subject(ensemble, result)}: {right} on {result.split_title}.",
        name="5-confusion",
        ensemble=ensemble,
    )


def _subject(ensemble: Ensemble, result: EnsembleResult) -> str:
    title = f"{ensemble.capital_title}, {method_title(result.chosen[0])}"
    return f"{title} ({ensemble.tag})" if ensemble.tag else title


def confused_pairs(ensemble: Ensemble, result: EnsembleResult) -> Figure | None:
    """Figure 5-pairs of an ensemble that confuses classes: images that it gets wrong."""
    return mistakes(
        ensemble.inputs,
        f"5{ensemble.suffix}-pairs",
        f"{_subject(ensemble, result)}, on {result.split_title}",
        result.reference,
        result.rows,
        result.predicted(*result.chosen),
        result.proba(*result.chosen),
        behind=f"5{ensemble.suffix}",
    )


def reliability_figure(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5-reliability of an ensemble: its chosen method on one split."""
    number, (method, by) = f"5{ensemble.suffix}-reliability", result.chosen
    calibration = next(c for c in result.calibrations if (c["method"], c["by"]) == result.chosen)
    temperature, before = calibration["temperature"], result.proba(method, by)
    titles = "before", f"after, temperature {temperature:.2f}"
    panels = [
        _panel(title, reliability(proba, result.truth, N_BINS))
        for title, proba in zip(titles, (before, tempered(before, temperature)), strict=True)
    ]
    return drawn(
        number,
        from_template("squares.svg", beside="accuracy of its images", panels=panels),
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
