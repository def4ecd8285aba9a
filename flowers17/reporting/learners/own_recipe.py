"""Tables 3b and 3c: our own recipe for training from scratch, and what it costs."""

from collections.abc import Sequence

from flowers17.reporting.cells import selection_notes
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import mean_columns, text_column
from flowers17.reporting.learners.cells import (
    EPOCH_COLUMNS,
    LEARNER_COLUMN,
    OF_TRAINING,
    TrainingRecord,
    comparison_notes,
    learner_title,
    training_record,
)
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.networks import NetworkColumns
from flowers17.reporting.records import Training, over_repeats
from flowers17.reporting.reference import (
    AUGMENTED_EPOCHS,
    BEST_SINGLE_NETWORK,
    IMAGE_SIZE,
    N_CLASSES,
    N_TRAINING_IMAGES,
    TABLE_1,
)
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.wording import thousands

_SINGLE_SPLITS = {"clean": "Clean split", "report": "Report’s split", "official": "Official split"}


def _mean(record: TrainingRecord) -> MeanSpread | None:
    return over_repeats(training.score for training in record.trainings)


def _single_column(kind: str) -> Column[TrainingRecord]:
    """Column of the trainings on the first split of a kind."""

    def training(record: TrainingRecord) -> Training | None:
        return next((t for t in record.trainings if t.score.kind == kind), None)

    return NetworkColumns(training).accuracy(kind, _SINGLE_SPLITS[kind])


def own_table(inputs: ReportInputs) -> Table:
    """Table 3b: our own recipe over repeated clean splits, and what it costs."""
    names = inputs.study.learners.best
    trainings = [training for name in names for training in inputs.own_trainings.get(name, [])]
    kinds = {training.score.kind for training in trainings}
    columns: Sequence[Column[TrainingRecord]] = [
        LEARNER_COLUMN,
        *mean_columns(_mean, lambda r: BEST_SINGLE_NETWORK, linked=False),
        *(_single_column(kind) for kind in _SINGLE_SPLITS if kind in kinds),
        OF_TRAINING.number("parameters", "Parameters", lambda t: t.n_parameters, thousands),
        OF_TRAINING.number(
            "operations", "Operations an image", lambda t: t.n_operations, operations_text
        ),
        OF_TRAINING.number("cost", "Training, × Mk-3’s", lambda t: relative_cost(inputs, t), ".2g"),
    ]
    return Table(
        "3b",
        "Our own recipe, trained from scratch",
        columns,
        [
            training_record(
                name,
                inputs.own_trainings.get(name, []),
                inputs.reason_absent("training", part="a1", learner=name, recipe_name="best"),
            )
            for name in names
        ],
        lead="Validation accuracy over repeated splits that keep near-duplicates on one side. The "
        f"study’s best single network reaches {BEST_SINGLE_NETWORK:.3f}, on its one split.",
        notes=(
            *selection_notes(training.recipe for training in trainings),
            "Operations are floating-point ones of one forward pass. A training’s are 3 × forward "
            "× images × the squared resolution of each epoch; the last column sets them "
            f"against the study’s Mk-3, {N_TRAINING_IMAGES:,} images, {AUGMENTED_EPOCHS} epochs.",
            "The trainings behind a mean are in Table 3c. Repeated splits share most of their "
            "images; its interval uses the corrected variance of Nadeau and Bengio (2003).",
            *comparison_notes(inputs, trainings),
        ),
    )


def relative_cost(inputs: ReportInputs, training: Training) -> float:
    """A training's operations over those of the study's Mk-3 under augmentation.

    Mk-3's forward pass is that of the network we trained, if it has the study's size and number of
    classes, else counted from the study's table.
    """
    forward = float(TABLE_1["mk-3"].n_operations)
    for mk3 in inputs.trainings:
        same = (mk3.image_size, len(inputs.class_names)) == (IMAGE_SIZE, N_CLASSES)
        if mk3.learner == "mk-3" and same:
            forward = mk3.n_operations
    return training.training_operations / (3 * forward * N_TRAINING_IMAGES * AUGMENTED_EPOCHS)


def operations_text(value: float) -> str:
    """A number of operations in words.

    >>> operations_text(2_741_000_000), operations_text(84_500_000)
    ('2.74 G', '84.5 M')
    """
    return f"{value / 1e9:.2f} G" if value >= 1e9 else f"{value / 1e6:.1f} M"


_SPLIT_COLUMNS: Sequence[Column[TrainingRecord]] = [
    text_column("split", "Split", lambda r: r.name),
    OF_TRAINING.accuracy("accuracy", "Validation accuracy"),
    OF_TRAINING.number("validation_loss", "Validation loss", lambda t: t.validation_loss),
    OF_TRAINING.number("train_accuracy", "Training accuracy", lambda t: t.train_accuracy),
    OF_TRAINING.number("n_train", "Training images", lambda t: t.score.n_train, "d", linked=False),
    OF_TRAINING.number(
        "n_validation", "Validation images", lambda t: t.score.n_validation, "d", linked=False
    ),
    *EPOCH_COLUMNS,
]


def own_splits_table(inputs: ReportInputs) -> Table:
    """Table 3c: our own recipe, split by split."""
    records = []
    for name in inputs.study.learners.best:
        trainings = inputs.own_trainings.get(name, [])
        group = learner_title(name)
        records += [training_record(t.score.split, [t], "", group=group) for t in trainings]
        if trainings:
            absences = inputs.absences("training", part="a1", learner=name, recipe_name="best")
            records += [training_record(a.split, [], a.reason, group=group) for a in absences]
    return Table(
        "3c",
        "Our own recipe, split by split",
        _SPLIT_COLUMNS,
        records,
        lead="Each split is a training of its own, with 95 % intervals.",
        notes=tuple(selection_notes(t.recipe for record in records for t in record.trainings)),
    )
