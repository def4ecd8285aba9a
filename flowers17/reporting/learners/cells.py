"""What the tables of trainings share: titles, cells, reasons and notes."""

from collections.abc import Iterable, Sequence
from typing import Any

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.records import Training
from flowers17.reporting.reference import AUGMENTED_EPOCHS, LEARNERS, PLAIN_EPOCHS
from flowers17.reporting.tables import EMPTY, Cell, Column
from flowers17.reporting.verdicts import no_comparison_notes

_AUGMENTATIONS = {
    "none": "plain",
    "zoom": "#1 zoom",
    "flips": "#2 flips",
    "wide": "#3 wide mix",
    "strong": "strong, ours",
}
EPOCHS: tuple[Column[Any], ...] = (Column("best_epoch", "Epoch kept"), Column("epochs", "Epochs"))


def learner_title(name: str) -> str:
    """Return how people call a learner.

    >>> learner_title("mk-2"), learner_title("residual")
    ('Mk-2', 'residual')
    """
    return LEARNERS.get(name, name)


def augmentation_title(name: str) -> str:
    """Return how people call an augmentation.

    >>> augmentation_title("wide")
    '#3 wide mix'
    """
    return _AUGMENTATIONS.get(name, name)


def training_title(made: Training) -> str:
    """Return how people call a training: `Mk-2, #3 wide mix`; `residual, our own recipe`."""
    own = made.recipe_name == "best"
    how = "our own recipe" if own else augmentation_title(made.augmentation)
    return f"{learner_title(made.learner)}, {how}"


def number_cell(
    value: float | None, reference: float | None = None, made: Training | None = None
) -> Cell:
    if value is None:
        return EMPTY
    return Cell(f"{value:.3f}", value, None, reference, made.artifact.reference if made else None)


def accuracy_cell(made: Training | None, reference: float | None = None) -> Cell:
    if not made:
        return EMPTY
    score = made.score
    source = made.artifact.reference
    return Cell(f"{score.accuracy:.3f}", score.accuracy, score.interval, reference, source)


def epoch_cells(made: Training | None) -> tuple[Cell, Cell]:
    if not made:
        return EMPTY, EMPTY
    return Cell(str(made.best_epoch), made.best_epoch), Cell(str(made.epochs), made.epochs)


def comparable(inputs: ReportInputs, made: Training) -> bool:
    """Whether the study's number and ours measure the same training on the same data."""
    return inputs.is_oxford17 and made.like_the_study


def comparison_notes(inputs: ReportInputs, made: Sequence[Training | None]) -> Iterable[str]:
    yield from no_comparison_notes(inputs.data_differences_in_short)
    if any(one and one.tag for one in made):
        yield (
            f"The study trains {PLAIN_EPOCHS} epochs on plain data and {AUGMENTED_EPOCHS} with "
            "augmentation; a row with a tag was trained otherwise and is not compared."
        )
    reduced = sorted({one.precision for one in made if one and one.precision != "float32"})
    if reduced:
        yield f"Computed in {', '.join(reduced).replace('_', ' ')}."
