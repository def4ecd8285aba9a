"""Table 8c: each classifier against the best, image by image."""

from flowers17.artifacts import Reference
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.features.tables import evaluation_title, trained_tag
from flowers17.reporting.metrics import PairedTest, holm, mcnemar
from flowers17.reporting.records import Evaluation, Score
from flowers17.reporting.tables import Cell, Column, Row, Table


def paired_table(inputs: ReportInputs) -> Table:
    """Return Table 8c: each classifier against the best, image by image."""
    best, rows = inputs.best, []
    lead = "No classifier was evaluated."
    if best and (score := best.score("report")):
        lead = (
            f"Every other classifier on the same {score.n_validation} images as the best of Table "
            f"8, {evaluation_title(inputs, best)} ({score.accuracy:.3f})."
        )
        rows = _paired_rows(inputs, best, score)
    return Table(
        "8c",
        "Are the differences more than chance? Paired comparisons with the best",
        (
            Column("classifier", "Classifier on features", numeric=False),
            Column("difference", "Difference"),
            Column("only_best", "Best alone right"),
            Column("only_this", "This alone right"),
            Column("p", "p, exact McNemar"),
            Column("p_holm", "p, Holm"),
        ),
        tuple(rows),
        lead=lead,
        notes=(
            "Difference in accuracy to the best. McNemar’s test counts the images on which exactly "
            "one of the two is right. Holm’s correction allows for the number of tests; the best "
            "was picked on these same images, which makes the p-values a little too small.",
        ),
    )


def _paired_rows(inputs: ReportInputs, best: Evaluation, score: Score) -> list[Row]:
    of_best = inputs.correct(best, score.split)
    others = [
        one
        for one in inputs.evaluations
        if one is not best and one.score("report") and score.split in one.scores
    ]
    tests = [mcnemar(of_best, inputs.correct(one, score.split)) for one in others]
    corrected = holm([test.p_value for test in tests])
    compared = sorted(
        zip(others, tests, corrected, strict=True),
        key=lambda item: (-item[0].scores[score.split].accuracy, evaluation_title(inputs, item[0])),
    )
    rows = []
    for one, test, adjusted in compared:
        source, difference = one.artifact.reference, one.scores[score.split].accuracy
        difference -= score.accuracy
        cells = (
            Cell(evaluation_title(inputs, one)),
            *test_cells(difference, test, adjusted, source),
        )
        rows.append(Row(cells, tag=trained_tag(one.random_weights)))
    return rows


def test_cells(
    difference: float, test: PairedTest, adjusted: float, source: Reference | None
) -> tuple[Cell, ...]:
    """Return a difference, the images that only one side has right, p, and p corrected by Holm."""
    return (
        Cell(signed(difference), difference, artifact=source),
        Cell(str(test.n_only_first), test.n_only_first, artifact=source),
        Cell(str(test.n_only_second), test.n_only_second, artifact=source),
        Cell(p_text(test.p_value), test.p_value, artifact=source),
        Cell(p_text(adjusted), adjusted, artifact=source),
    )


def signed(value: float) -> str:
    """Return a difference with its sign, a true minus and three decimals.

    >>> signed(-0.0118)
    '−0.012'
    """
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def judged(difference: float, significant: bool) -> str:
    """Return how one compares with another, in words that go before the other's name."""
    if not significant:
        return "not shown to be better than" if difference > 0 else "not better than"
    return "better than" if difference > 0 else "worse than"


def p_text(value: float) -> str:
    """Return a p-value as people write it.

    >>> p_text(0.0004), p_text(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
