"""What the tables of trainings share: their records, columns, titles, reasons and notes."""

from collections.abc import Sequence
from dataclasses import dataclass

from flowers17.reporting.columns import text_column
from flowers17.reporting.networks import NetworkColumns
from flowers17.reporting.records import Training
from flowers17.reporting.reference import Trained
from flowers17.reporting.tables import Column, Record
from flowers17.reporting.titles import augmentation_title, learner_title


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
