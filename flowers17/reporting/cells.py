"""Cells of numbers and scores, and the notes that tables of several parts share."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flowers17.artifacts import Reference
from flowers17.config import RecipeSettings
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import Score
from flowers17.reporting.tables import EMPTY, Cell
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
    score: Score | MeanSpread | None,
    reference: float | None = None,
    source: Reference | None = None,
) -> Cell:
    """Cell of an accuracy on one split or of a mean over splits, with its interval."""
    if not score:
        return EMPTY
    accuracy = score.mean if isinstance(score, MeanSpread) else score.accuracy
    return Cell(f"{accuracy:.3f}", accuracy, score.interval, reference, source)


def spread_cell(mean: MeanSpread | None, source: Reference | None = None) -> Cell:
    """Cell of the standard deviation over splits; EMPTY for fewer than two."""
    return value_cell(mean.spread if mean else None, source=source)


def selection_notes(recipes: Iterable[RecipeSettings]) -> Iterator[str]:
    """Yield which epoch's weights numbers are of, and whether mirror images were averaged."""
    recipes = list(recipes)
    if any(recipe.selection == "val_loss" for recipe in recipes):
        yield (
            "The epoch kept is the one with the lowest loss on the validation images, which "
            "flatters the numbers a little."
        )
    elif recipes:
        yield "The weights are those of the last epoch: no validation image chooses it."
    if any(recipe.flips_at_test for recipe in recipes):
        yield "Probabilities are the mean of those of an image and of its mirror image."
