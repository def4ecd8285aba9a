"""Tables 1 to 3: networks trained from scratch, without and with augmentation."""

from collections.abc import Sequence
from typing import Any

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.learners.averaged import averaged_table
from flowers17.reporting.learners.cells import (
    EPOCHS,
    accuracy_cell,
    augmentation_title,
    comparable,
    comparison_notes,
    epoch_cells,
    learner_title,
    number_cell,
)
from flowers17.reporting.learners.own_recipe import own_splits_table, own_table
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import Training, over_repeats
from flowers17.reporting.reference import (
    IMAGE_SIZE,
    N_CLASSES,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    Trained,
    title_of,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.verdicts import VERDICT_NOTE, verdict_cell
from flowers17.reporting.wording import thousands

_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "tanh": "tanh"}
_OUTCOME: tuple[Column[Any], ...] = (
    Column("study", "study", group="Validation accuracy"),
    Column("ours", "ours", group="Validation accuracy", interval=True),
    Column("verdict", "Against the study", numeric=False),
)


def best_trained(inputs: ReportInputs) -> Training | None:
    """Return the training with the highest accuracy on the report's split."""
    made = [one for one in inputs.trainings if one.score.kind == "report"]
    return max(made, key=lambda one: one.score.accuracy, default=None)


def best_over_clean(inputs: ReportInputs) -> tuple[Training, MeanSpread] | None:
    """Return the learner with the highest mean over clean splits: its first training, the mean."""
    found = [
        (made[0], over)
        for made in inputs.own_trainings.values()
        if (over := over_repeats(one.score for one in made))
    ]
    return max(found, key=lambda pair: pair[1].mean, default=None)


def learner_tables(inputs: ReportInputs) -> list[Table]:
    """Return those of Tables 1, 2, 3 and 3b to 3d that something was trained, or failed, for."""
    if not inputs.trainings and not inputs.absent_from("a1"):
        return []
    made = (
        shapes_table(inputs),
        plain_table(inputs),
        augmented_table(inputs),
        own_table(inputs),
        own_splits_table(inputs),
        averaged_table(inputs),
    )
    return [table for table in made if table.rows]


def shapes_table(inputs: ReportInputs) -> Table:
    """Return Table 1: layers and parameters of every learner asked for."""
    asked = inputs.study.learners
    names = dict.fromkeys([*asked.plain, *asked.augmented, *asked.best])
    columns: list[Column[Any]] = [Column("learner", "Learner", numeric=False)]
    for key, title in (
        ("parameters", "Parameters"),
        ("convolutions", "Convolutions"),
        ("poolings", "Pooling"),
        ("dense", "Dense"),
    ):
        columns += [Column(f"study_{key}", "study", group=title), Column(key, "ours", group=title)]
    columns += [
        Column("padding", "Padding", numeric=False),
        Column("activation", "Activation", numeric=False),
    ]
    return Table(
        "1",
        title_of("table", 1),
        tuple(columns),
        tuple(_shape_row(inputs, name) for name in names),
        lead="What each network is made of. All convolutions of the study’s are 3 × 3, all its "
        "poolings 2 × 2.",
        notes=(
            "Dense layers are counted without the output layer, as in the study. Parameters depend "
            f"on size and number of classes; the study’s are for {IMAGE_SIZE} × {IMAGE_SIZE} "
            f"pixels and {N_CLASSES} classes.",
            *comparison_notes(inputs, ()),
        ),
    )


def _shape_row(inputs: ReportInputs, name: str) -> Row:
    study = TABLE_1.get(name)
    made = next((one for one in inputs.trainings if one.learner == name), None)
    theirs: list[Cell] = [EMPTY] * 4
    if study:
        theirs = [
            Cell(thousands(n), n)
            for n in (study.n_parameters, study.n_convolutions, study.n_poolings, study.n_dense)
        ]
    ours: list[Cell] = [EMPTY] * 4
    if made:
        counts = (made.n_parameters, *made.layer_counts)
        ours = [
            Cell(thousands(n), n, None, cell.value, made.artifact.reference)
            for n, cell in zip(counts, theirs, strict=True)
        ]
    cells = [cell for pair in zip(theirs, ours, strict=True) for cell in pair]
    missing = "" if made else inputs.reason_absent("training", learner=name)
    return Row((Cell(learner_title(name), name), *cells, *_style(inputs, name)), missing=missing)


def _style(inputs: ReportInputs, name: str) -> tuple[Cell, Cell]:
    """Return padding and activation, of a definition in the settings or else the study's."""
    for one in inputs.study.learners.definitions:
        if one.name == name:
            return Cell(one.padding), Cell(_ACTIVATIONS[one.activation])
    study = TABLE_1.get(name)
    return (Cell(study.padding), Cell(study.activation)) if study else (EMPTY, EMPTY)


def plain_table(inputs: ReportInputs) -> Table:
    """Return Table 2: the learners on plain data, at the epoch of the lowest validation loss."""
    columns: list[Column[Any]] = [Column("learner", "Learner", numeric=False), *_OUTCOME]
    for key in ("validation_loss", "train_accuracy", "train_loss"):
        title = key.replace("train", "training").replace("_", " ").capitalize()
        columns += [Column(f"study_{key}", "study", group=title), Column(key, "ours", group=title)]
    names = inputs.study.learners.plain
    made = [inputs.training(name, "none") for name in names]
    rows = [_plain_row(inputs, name, one) for name, one in zip(names, made, strict=True)]
    return Table(
        "2",
        title_of("table", 2),
        (*columns, *EPOCHS),
        tuple(rows),
        lead="Validation accuracy with 95 % intervals, and what else was measured at the same "
        "epoch.",
        notes=_notes(inputs, made),
    )


def _plain_row(inputs: ReportInputs, name: str, made: Training | None) -> Row:
    study, title = TABLE_2.get(name), Cell(learner_title(name), name)
    keys = ("validation_loss", "train_accuracy", "train_loss")
    theirs = [getattr(study, key) if study else None for key in keys]
    ours = [getattr(made, key) if made else None for key in keys]
    pairs = [
        cell
        for reference, value in zip(theirs, ours, strict=True)
        for cell in (number_cell(reference), number_cell(value, reference, made))
    ]
    cells = (title, *_outcome(inputs, study, made), *pairs, *epoch_cells(made))
    missing = "" if made else _reason(inputs, name, "none")
    return Row(cells, tag=made.tag if made else "", missing=missing)


def _reason(inputs: ReportInputs, learner: str, augmentation: str) -> str:
    """Return why the study's training of a learner has no result."""
    return inputs.reason_absent(
        "training", learner=learner, augmentation=augmentation, recipe_name="report", split="report"
    )


def augmented_table(inputs: ReportInputs) -> Table:
    """Return Table 3: learners without and with each augmentation."""
    asked, rows, made = inputs.study.learners, [], []
    for learner in asked.augmented:
        plain = ("none",) if learner in asked.plain else ()
        for augmentation in (*plain, *asked.augmentations):
            found = inputs.training(learner, augmentation)
            rows.append(_augmented_row(inputs, learner, augmentation, found))
            made.append(found)
    return Table(
        "3",
        title_of("table", 3),
        (
            Column("augmentation", "Augmentation", numeric=False),
            *_OUTCOME,
            Column("study_train_accuracy", "study", group="Training accuracy"),
            Column("train_accuracy", "ours", group="Training accuracy"),
            *EPOCHS,
        ),
        tuple(rows),
        lead="Only training images are augmented. The study gives numbers without augmentation "
        "and for #3.",
        notes=_notes(inputs, made),
    )


def _augmented_row(
    inputs: ReportInputs, learner: str, augmentation: str, made: Training | None
) -> Row:
    study = TABLE_3.get(learner, {}).get(augmentation)
    reference = study.train_accuracy if study else None
    value = made.train_accuracy if made else None
    accuracies = (number_cell(reference), number_cell(value, reference, made))
    title = Cell(augmentation_title(augmentation), augmentation)
    cells = (title, *_outcome(inputs, study, made), *accuracies, *epoch_cells(made))
    missing = "" if made else _reason(inputs, learner, augmentation)
    return Row(cells, learner_title(learner), made.tag if made else "", missing)


def _outcome(
    inputs: ReportInputs, study: Trained | None, made: Training | None
) -> tuple[Cell, Cell, Cell]:
    reference = study.validation_accuracy if study else None
    like_the_study = bool(made and comparable(inputs, made))
    judged = verdict_cell(made.score if made else None, reference, like_the_study)
    return number_cell(reference), accuracy_cell(made, reference), judged


def _notes(inputs: ReportInputs, made: Sequence[Training | None]) -> tuple[str, ...]:
    chosen = (
        "As in the study, the epoch kept is the one with the lowest loss on these same validation "
        "images, which flatters every number a little.",
    )
    return (
        *((VERDICT_NOTE,) if any(one and comparable(inputs, one) for one in made) else ()),
        *(chosen if any(one and one.recipe.selection == "val_loss" for one in made) else ()),
        *comparison_notes(inputs, made),
    )
