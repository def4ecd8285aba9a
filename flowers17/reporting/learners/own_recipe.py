"""Tables 3b and 3c: our own recipe for training from scratch, and what it costs."""

from collections.abc import Sequence

from flowers17.reporting.cells import integer_cell, mean_cell, selection_notes, spread_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.learners.cells import (
    EPOCHS,
    accuracy_cell,
    comparison_notes,
    epoch_cells,
    learner_title,
    number_cell,
)
from flowers17.reporting.records import Training, over_repeats
from flowers17.reporting.reference import (
    AUGMENTED_EPOCHS,
    BEST_SINGLE_NETWORK,
    IMAGE_SIZE,
    N_CLASSES,
    N_TRAINING_IMAGES,
    TABLE_1,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import thousands


def own_table(inputs: ReportInputs) -> Table:
    """Return Table 3b: our own recipe over repeated clean splits, and what it costs."""
    names = inputs.study.learners.best
    made = [one for name in names for one in inputs.own_trainings.get(name, [])]
    single = _single_splits(made)
    return Table(
        "3b",
        "Our own recipe, trained from scratch",
        (
            Column("learner", "Learner", numeric=False),
            Column("mean", "Mean over clean splits", interval=True),
            Column("spread", "± s.d."),
            Column("n_splits", "Splits"),
            *(Column(kind, title, interval=True) for kind, title in single.items()),
            Column("parameters", "Parameters"),
            Column("operations", "Operations an image"),
            Column("cost", "Training, × Mk-3’s"),
        ),
        tuple(_own_row(inputs, name, list(single)) for name in names),
        lead="Validation accuracy over repeated splits that keep near-duplicates on one side. The "
        f"study’s best single network reaches {BEST_SINGLE_NETWORK:.3f}, on its one split.",
        notes=(
            *selection_notes(one.recipe for one in made),
            "Operations are floating-point ones of one forward pass. A training’s are 3 × forward "
            "× images × the squared resolution of each epoch; the last column sets them "
            f"against the study’s Mk-3, {N_TRAINING_IMAGES:,} images, {AUGMENTED_EPOCHS} epochs.",
            "The trainings behind a mean are in Table 3c. Repeated splits share most of their "
            "images; its interval uses the corrected variance of Nadeau and Bengio (2003).",
            *comparison_notes(inputs, made),
        ),
    )


def _single_splits(made: Sequence[Training]) -> dict[str, str]:
    """Return kind and title of the splits, besides repeated ones, that something was trained on."""
    kinds = {one.score.kind for one in made}
    titles = {"clean": "Clean split", "report": "Report’s split", "official": "Official split"}
    return {kind: title for kind, title in titles.items() if kind in kinds}


def _own_row(inputs: ReportInputs, name: str, kinds: Sequence[str]) -> Row:
    title, made = Cell(learner_title(name), name), inputs.own_trainings.get(name)
    if not made:
        why = inputs.reason_absent("training", part="a1", learner=name, recipe_name="best")
        return Row((title, *[EMPTY] * (6 + len(kinds))), missing=why)
    first, over = made[0], over_repeats(one.score for one in made)
    of_kind = {one.score.kind: one for one in reversed(made)}
    source, cost = first.artifact.reference, relative_cost(inputs, first)
    cells = (
        title,
        mean_cell(over, BEST_SINGLE_NETWORK),
        spread_cell(over),
        integer_cell(over.n_splits if over else None),
        *(accuracy_cell(of_kind.get(kind)) for kind in kinds),
        Cell(thousands(first.n_parameters), first.n_parameters, artifact=source),
        Cell(operations_text(first.n_operations), first.n_operations, artifact=source),
        Cell(f"{cost:.2g}", cost, artifact=source),
    )
    return Row(cells)


def relative_cost(inputs: ReportInputs, made: Training) -> float:
    """Return a training's operations over those of the study's Mk-3 under augmentation.

    Mk-3's forward pass is that of the network we trained, if it has the study's size and number of
    classes, else counted from the study's table.
    """
    forward = float(TABLE_1["mk-3"].n_operations)
    for one in inputs.trainings:
        same = (one.image_size, len(inputs.class_names)) == (IMAGE_SIZE, N_CLASSES)
        if one.learner == "mk-3" and same:
            forward = one.n_operations
    return made.training_operations / (3 * forward * N_TRAINING_IMAGES * AUGMENTED_EPOCHS)


def operations_text(value: float) -> str:
    """Return a number of operations as people say it.

    >>> operations_text(2_741_000_000), operations_text(84_500_000)
    ('2.74 G', '84.5 M')
    """
    return f"{value / 1e9:.2f} G" if value >= 1e9 else f"{value / 1e6:.1f} M"


def own_splits_table(inputs: ReportInputs) -> Table:
    """Return Table 3c: our own recipe, split by split."""
    rows: list[Row] = []
    made = []
    for name in inputs.study.learners.best:
        trained = inputs.own_trainings.get(name, [])
        made += trained
        rows += [_split_row(one) for one in trained]
        rows += [
            Row((Cell(absent.split), *[EMPTY] * 7), learner_title(name), missing=absent.reason)
            for absent in inputs.absences("training", part="a1", learner=name, recipe_name="best")
            if trained
        ]
    return Table(
        "3c",
        "Our own recipe, split by split",
        (
            Column("split", "Split", numeric=False),
            Column("accuracy", "Validation accuracy", interval=True),
            Column("validation_loss", "Validation loss"),
            Column("train_accuracy", "Training accuracy"),
            Column("n_train", "Training images"),
            Column("n_validation", "Validation images"),
            *EPOCHS,
        ),
        tuple(rows),
        lead="Each split is a training of its own, with 95 % intervals.",
        notes=tuple(selection_notes(one.recipe for one in made)),
    )


def _split_row(made: Training) -> Row:
    score = made.score
    cells = (
        Cell(score.split, score.split),
        accuracy_cell(made),
        number_cell(made.validation_loss, None, made),
        number_cell(made.train_accuracy, None, made),
        integer_cell(score.n_train),
        integer_cell(score.n_validation),
        *epoch_cells(made),
    )
    return Row(cells, learner_title(made.learner))
