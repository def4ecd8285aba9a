"""Cells of numbers, scores and verdicts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flowers17.artifacts import Reference
from flowers17.reporting.metrics import MeanSpread, Measured, difference_interval, within
from flowers17.reporting.records import Score
from flowers17.reporting.reference import N_VALIDATION
from flowers17.reporting.tables import EMPTY, Cell, Verdict
from flowers17.reporting.wording import decimal_text


def value_cell(
    value: float | int | str | None,
    form: str | Callable[[Any], str] = ".3f",
    *,
    reference: float | int | str | None = None,
    source: Reference | None = None,
) -> Cell:
    """Cell of a value; EMPTY for None.

    form: a format or function by which a number is written; words are shown as they are.
    """
    if value is None:
        return EMPTY
    if isinstance(value, str):
        text = value
    else:
        text = form(value) if callable(form) else decimal_text(value, form)
    return Cell(text, value, reference=reference, artifact=source)


def score_cell(
    score: Score | MeanSpread | Measured | None,
    reference: float | None = None,
    source: Reference | None = None,
    form: str | Callable[[Any], str] = ".3f",
) -> Cell:
    """Cell of an accuracy on one split, a mean over splits or a measure, with its interval."""
    if not score:
        return EMPTY
    if isinstance(score, Measured):
        value = score.value
    else:
        value = score.mean if isinstance(score, MeanSpread) else score.accuracy
    cell = value_cell(value, form, reference=reference, source=source)
    return replace(cell, interval=score.interval)


def spread_cell(mean: Score | MeanSpread | None, source: Reference | None = None) -> Cell:
    """Cell of the standard deviation over splits; EMPTY for fewer than two."""
    return value_cell(mean.spread if isinstance(mean, MeanSpread) else None, source=source)


def verdict_of(score: Score, reference: float) -> Verdict:
    """Where our accuracy stands: better or below if the difference's interval leaves zero out.

    reference: the study's accuracy, which is as uncertain as its validation images are few.
    """
    n_correct = round(reference * N_VALIDATION)
    difference = difference_interval(score.n_correct, score.n_validation, n_correct, N_VALIDATION)
    if within(difference, 0):
        return "within"
    return "better" if difference.low > 0 else "below"


def verdict_cell(
    score: Score | MeanSpread | None, reference: float | None, comparable: bool
) -> Cell:
    """Cell of the verdict; EMPTY without a score on one split or a number of the study's.

    comparable: whether both measure the same thing on the same images; else nothing is judged.
    """
    if not isinstance(score, Score) or reference is None:
        return EMPTY
    verdict = verdict_of(score, reference) if comparable else None
    return Cell(verdict or "–", verdict or "not comparable", verdict=verdict)
