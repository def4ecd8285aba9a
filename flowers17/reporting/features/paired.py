"""Table 8c: each classifier against the best, image by image."""

from flowers17.reporting.columns import text_column
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    P_COLUMNS,
    PairedRecord,
    difference_column,
    only_first_column,
    only_second_column,
    paired_comparisons,
)
from flowers17.reporting.records import Evaluation
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.titles import trained_tag

_COLUMNS: tuple[Column[PairedRecord], ...] = (
    text_column("classifier", "Classifier on features", lambda r: r.title),
    difference_column(),
    only_second_column("only_best", "Best alone right"),
    only_first_column("only_this", "This alone right"),
    *P_COLUMNS,
)


def paired_table(inputs: ReportInputs) -> Table:
    """Table 8c: each classifier against the best, image by image."""
    best, records = inputs.best, []
    lead = "No classifier was evaluated."
    if best and (score := best.score("report")):
        lead = (
            f"Every other classifier on the same {score.n_validation} images as the best of Table "
            f"8, {evaluation_title(inputs, best)} ({score.accuracy:.3f})."
        )
        records = _records(inputs, best, score.split)
    return Table(
        "8c",
        "Are the differences more than chance? Paired comparisons with the best",
        _COLUMNS,
        records,
        lead=lead,
        notes=(
            "Difference in accuracy to the best. McNemar’s test counts the images on which exactly "
            "one of the two is right. Holm’s correction allows for the number of tests; the best "
            "was picked on these same images, which makes the p-values a little too small.",
        ),
    )


def _records(inputs: ReportInputs, best: Evaluation, split: str) -> list[PairedRecord]:
    """The other evaluations on the split, each against the best, the most accurate first."""
    evaluations = [
        evaluation
        for evaluation in inputs.evaluations
        if evaluation is not best and evaluation.score("report") and split in evaluation.scores
    ]
    correct = inputs.correct(best, split)
    comparisons = paired_comparisons((inputs.correct(e, split), correct) for e in evaluations)
    compared = sorted(
        zip(evaluations, comparisons, strict=True),
        key=lambda pair: (-pair[1].first_accuracy, evaluation_title(inputs, pair[0])),
    )
    return [
        PairedRecord(
            evaluation_title(inputs, evaluation),
            comparison=comparison,
            tag=trained_tag(evaluation.random_weights),
            source=evaluation.artifact.reference,
        )
        for evaluation, comparison in compared
    ]
