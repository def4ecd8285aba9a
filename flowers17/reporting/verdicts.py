"""Our accuracies against the study's: the verdict, its cell, and the notes that explain it."""

from flowers17.reporting.metrics import within
from flowers17.reporting.records import Score
from flowers17.reporting.tables import EMPTY, Cell, Verdict

VERDICT_NOTE = (
    "“within”: the study’s number lies in our interval; “better”: it lies below our interval; "
    "“below”: it lies above our interval."
)


def verdict_of(score: Score, reference: float) -> Verdict:
    """Where our accuracy stands: the study's within our interval, or ours better or below."""
    if within(score.interval, reference):
        return "within"
    return "better" if score.accuracy > reference else "below"


def verdict_cell(score: Score | None, reference: float | None, comparable: bool) -> Cell:
    """Cell of the verdict; EMPTY without a score or a number of the study's.

    comparable: whether both measure the same thing on the same images; else nothing is judged.
    """
    if score is None or reference is None:
        return EMPTY
    verdict = verdict_of(score, reference) if comparable else None
    return Cell(verdict or "–", verdict or "not comparable", verdict=verdict)


def no_comparison_notes(differences: str) -> tuple[str, ...]:
    """The note under numbers that differ in kind from the study's; none if they do not.

    differences: in a few words, e.g. `rendered flowers, untrained weights`.
    """
    if not differences:
        return ()
    return (f"Not a comparison ({differences}): the study’s numbers only show where they belong.",)
