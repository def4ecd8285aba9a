"""What the tables of trainings share: their records, columns, titles, reasons and notes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers17.reporting.columns import text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.networks import NetworkColumns, training_notes
from flowers17.reporting.records import Training
from flowers17.reporting.reference import AUGMENTED_EPOCHS, LEARNERS, PLAIN_EPOCHS, Trained
from flowers17.reporting.tables import Column, Record
from flowers17.reporting.verdicts import no_comparison_notes

_AUGMENTATIONS = {
    "none": "plain",
    "zoom": "#1 zoom",
    "flips": "#2 flips",
    "wide": "#3 wide mix",
    "strong": "strong",
}


def learner_title(name: str) -> str:
    """Display name of a learner.

    >>> learner_title("mk-2"), learner_title("residual")
    ('Mk-2', 'residual')
    """
    return LEARNERS.get(name, name)


def augmentation_title(name: str) -> str:
    """Display name of an augmentation.

    >>> augmentation_title("wide")
    '#3 wide mix'
    """
    return _AUGMENTATIONS.get(name, name)


def training_title(training: Training) -> str:
    """Display name of a training: `Mk-2, #3 wide mix`; `residual, our own recipe`."""
    own = training.recipe_name == "best"
    recipe = "our own recipe" if own else augmentation_title(training.augmentation)
    return f"{learner_title(training.learner)}, {recipe}"


@dataclass(frozen=True)
class TrainingRecord(Record):
    """What was trained of a learner, on the first of the splits first; empty if nothing was.

    name: of the learner, or of the augmentation or split that tells it from others of its group.
    study: the study's numbers of the same training.
    """

    name: str
    trainings: Sequence[Training] = ()
    study: Trained | None = None

    def first(self) -> Training | None:
        """The training on the first of the splits."""
        return next(iter(self.trainings), None)


def training_record(
    name: str,
    trainings: Sequence[Training],
    reason: str,
    study: Trained | None = None,
    group: str = "",
    tag: str = "",
) -> TrainingRecord:
    """The record of trainings, or of the reason why there are none."""
    missing = "" if trainings else reason
    source = trainings[0].artifact.reference if trainings else None
    return TrainingRecord(
        name, trainings, study, group=group, tag=tag, missing=missing, source=source
    )


OF_TRAINING = NetworkColumns(TrainingRecord.first)
LEARNER_COLUMN: Column[TrainingRecord] = text_column(
    "learner", "Learner", lambda r: learner_title(r.name), lambda r: r.name
)
EPOCH_COLUMNS = (
    OF_TRAINING.number("best_epoch", "Epoch kept", lambda t: t.best_epoch, "d", linked=False),
    OF_TRAINING.number("epochs", "Epochs", lambda t: t.epochs, "d", linked=False),
)


def comparison_notes(inputs: ReportInputs, trainings: Sequence[Training]) -> Iterator[str]:
    """Yield what keeps numbers from being compared with the study's, and their precision."""
    yield from no_comparison_notes(inputs.data_differences_in_short)
    epochs = f"{PLAIN_EPOCHS} epochs on plain data and {AUGMENTED_EPOCHS} with augmentation"
    yield from training_notes(trainings, epochs)
