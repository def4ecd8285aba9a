"""Our accuracies against the study's: the verdict, its cell, and the notes that explain it."""

from flowers17.reporting.metrics import difference_interval, within
from flowers17.reporting.records import Score
from flowers17.reporting.reference import N_VALIDATION
from flowers17.reporting.tables import EMPTY, Cell, StudyNote, Verdict

VERDICT_NOTE = StudyNote(
    "“within”: the difference from the study’s number is within chance, its 95 % interval holds "
    "zero; “better”, “below”: it does not. The study’s number was measured on 340 images, too."
)


def verdict_of(score: Score, reference: float) -> Verdict:
    """Where our accuracy stands: better or below if the difference's interval leaves zero out.

    reference: the study's accuracy, which is as uncertain as its validation images are few.
    """
    n_correct = round(reference * N_VALIDATION)
    difference = difference_interval(score.n_correct, score.n_validation, n_correct, N_VALIDATION)
    if within(difference, 0):
        return "within"
    return "better" if difference.low > 0 else "below"


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
    return (
        StudyNote(
            f"Not a comparison ({differences}): the study’s numbers only show where they belong."
        ),
    )
