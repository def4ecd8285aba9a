"""Cells and notes that tables of every part share."""

from collections.abc import Iterable, Iterator

from flowers17.artifacts import Reference
from flowers17.config import RecipeSettings
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.tables import EMPTY, Cell


def mean_cell(
    over: MeanSpread | None, reference: float | None = None, source: Reference | None = None
) -> Cell:
    """Return the cell of a mean over splits, with its interval."""
    return Cell(f"{over.mean:.3f}", over.mean, over.interval, reference, source) if over else EMPTY


def spread_cell(over: MeanSpread | None, source: Reference | None = None) -> Cell:
    """Return the cell of a standard deviation over splits."""
    if not over or over.spread is None:
        return EMPTY
    return Cell(f"{over.spread:.3f}", over.spread, artifact=source)


def integer_cell(value: int | None) -> Cell:
    """Return the cell of a count."""
    return EMPTY if value is None else Cell(str(value), value)


def selection_notes(recipes: Iterable[RecipeSettings]) -> Iterator[str]:
    """Yield which epoch's weights numbers are of, and whether mirror images were averaged."""
    every = list(recipes)
    if any(one.selection == "val_loss" for one in every):
        yield (
            "The epoch kept is the one with the lowest loss on the validation images, which "
            "flatters the numbers a little."
        )
    elif every:
        yield "The weights are those of the last epoch: no validation image chooses it."
    if any(one.flips_at_test for one in every):
        yield "Probabilities are the mean of those of an image and of its mirror image."
