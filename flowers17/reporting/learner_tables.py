"""The tables of Part A.1: networks from scratch, without and with augmentation, our own recipe.

One long module, since its five tables share their cells, reasons and notes.
"""

from collections.abc import Iterable, Sequence

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.feature_tables import thousands, verdict_of
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import Training, over_repeats
from flowers17.reporting.reference import (
    AUGMENTED_EPOCHS,
    BEST_SINGLE_NETWORK,
    IMAGE_SIZE,
    LEARNERS,
    N_CLASSES,
    N_TRAINING_IMAGES,
    PLAIN_EPOCHS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    Trained,
    title_of,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table

_AUGMENTATIONS = {
    "none": "plain",
    "zoom": "#1 zoom",
    "flips": "#2 flips",
    "wide": "#3 wide mix",
    "strong": "strong, ours",
}
_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "tanh": "tanh"}
_OUTCOME = (
    Column("study", "study", "Validation accuracy"),
    Column("ours", "ours", "Validation accuracy", interval=True),
    Column("verdict", "Against the study", numeric=False),
)
_EPOCHS = (Column("best_epoch", "Epoch kept"), Column("epochs", "Epochs"))


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
    """Return those of Tables 1, 2, 3, 3b and 3c that something was trained, or failed, for."""
    if not inputs.trainings and not inputs.untrained:
        return []
    made = (
        shapes_table(inputs),
        plain_table(inputs),
        augmented_table(inputs),
        own_table(inputs),
        own_splits_table(inputs),
    )
    return [table for table in made if table.rows]


def shapes_table(inputs: ReportInputs) -> Table:
    """Return Table 1: layers and parameters of every learner asked for."""
    asked = inputs.study.learners
    names = dict.fromkeys([*asked.plain, *asked.augmented, *asked.best])
    columns = [Column("learner", "Learner", numeric=False)]
    for key, title in (
        ("parameters", "Parameters"),
        ("convolutions", "Convolutions"),
        ("poolings", "Pooling"),
        ("dense", "Dense"),
    ):
        columns += [Column(f"study_{key}", "study", title), Column(key, "ours", title)]
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
            *_comparison_notes(inputs, ()),
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
    missing = "" if made else _reason(inputs, f"{name} ", f"{name}, ")
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
    columns = [Column("learner", "Learner", numeric=False), *_OUTCOME]
    for key in ("validation_loss", "train_accuracy", "train_loss"):
        title = key.replace("train", "training").replace("_", " ").capitalize()
        columns += [Column(f"study_{key}", "study", title), Column(key, "ours", title)]
    names = inputs.study.learners.plain
    made = [inputs.training(name, "none") for name in names]
    rows = [_plain_row(inputs, name, one) for name, one in zip(names, made, strict=True)]
    return Table(
        "2",
        title_of("table", 2),
        (*columns, *_EPOCHS),
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
        for cell in (_number(reference), _number(value, reference, made))
    ]
    cells = (title, *_outcome(inputs, study, made), *pairs, *_epochs(made))
    missing = "" if made else _reason(inputs, f"{name}, report ")
    return Row(cells, tag=made.tag if made else "", missing=missing)


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
            Column("study_train_accuracy", "study", "Training accuracy"),
            Column("train_accuracy", "ours", "Training accuracy"),
            *_EPOCHS,
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
    accuracies = (_number(reference), _number(value, reference, made))
    title = Cell(augmentation_title(augmentation), augmentation)
    cells = (title, *_outcome(inputs, study, made), *accuracies, *_epochs(made))
    label = (
        f"{learner}, report " if augmentation == "none" else f"{learner} {augmentation}, report "
    )
    missing = "" if made else _reason(inputs, label)
    return Row(cells, learner_title(learner), made.tag if made else "", missing)


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
            *_selection_notes(made),
            "Operations are floating-point ones of one forward pass. A training’s are 3 × forward "
            "× images × epochs × mean of the squared resolutions; the last column sets them "
            f"against the study’s Mk-3, {N_TRAINING_IMAGES:,} images, {AUGMENTED_EPOCHS} epochs.",
            "The trainings behind a mean are in Table 3c. Repeated splits share most of their "
            "images; its interval uses the corrected variance of Nadeau and Bengio (2003).",
            *_comparison_notes(inputs, made),
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
        return Row((title, *[EMPTY] * (6 + len(kinds))), missing=_reason(inputs, f"{name} best, "))
    first, over = made[0], over_repeats(one.score for one in made)
    mean = spread = count = EMPTY
    if over:
        mean = Cell(f"{over.mean:.3f}", over.mean, over.interval, BEST_SINGLE_NETWORK)
        count = Cell(str(over.n_splits), over.n_splits)
        spread = EMPTY if over.spread is None else Cell(f"{over.spread:.3f}", over.spread)
    of_kind = {one.score.kind: one for one in reversed(made)}
    source, cost = first.artifact.reference, relative_cost(inputs, first)
    cells = (
        title,
        mean,
        spread,
        count,
        *(_accuracy(of_kind.get(kind)) for kind in kinds),
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
            Row((Cell(split), *[EMPTY] * 7), learner_title(name), missing=why)
            for split, why in _failed_splits(inputs, name)
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
            *_EPOCHS,
        ),
        tuple(rows),
        lead="Each split is a training of its own, with 95 % intervals.",
        notes=_selection_notes(made),
    )


def _split_row(made: Training) -> Row:
    score = made.score
    cells = (
        Cell(score.split, score.split),
        _accuracy(made),
        _number(made.validation_loss, None, made),
        _number(made.train_accuracy, None, made),
        Cell(str(score.n_train), score.n_train),
        Cell(str(score.n_validation), score.n_validation),
        *_epochs(made),
    )
    return Row(cells, learner_title(made.learner))


def _failed_splits(inputs: ReportInputs, name: str) -> list[tuple[str, str]]:
    """Return the splits that our own recipe was not trained on, and why."""
    start, end = f"{name} best, ", " split"
    return [
        (label.removeprefix(start).removesuffix(end), why)
        for label, why in sorted(inputs.untrained.items())
        if label.startswith(start)
    ]


def _selection_notes(made: Sequence[Training]) -> tuple[str, ...]:
    if not made:
        return ()
    if any(one.recipe.selection == "val_loss" for one in made):
        return (
            "The epoch kept is the one with the lowest loss on the validation images, which "
            "flatters the numbers a little.",
        )
    return ("The weights are those of the last epoch: no validation image chooses it.",)


def _number(
    value: float | None, reference: float | None = None, made: Training | None = None
) -> Cell:
    if value is None:
        return EMPTY
    return Cell(f"{value:.3f}", value, None, reference, made.artifact.reference if made else None)


def _accuracy(made: Training | None, reference: float | None = None) -> Cell:
    if not made:
        return EMPTY
    score = made.score
    source = made.artifact.reference
    return Cell(f"{score.accuracy:.3f}", score.accuracy, score.interval, reference, source)


def _outcome(
    inputs: ReportInputs, study: Trained | None, made: Training | None
) -> tuple[Cell, Cell, Cell]:
    reference = study.validation_accuracy if study else None
    judged = EMPTY
    if made and reference is not None:
        verdict = verdict_of(made.score, reference) if comparable(inputs, made) else None
        judged = Cell(verdict or "–", verdict or "not comparable", verdict=verdict)
    return _number(reference), _accuracy(made, reference), judged


def _epochs(made: Training | None) -> tuple[Cell, Cell]:
    if not made:
        return EMPTY, EMPTY
    return Cell(str(made.best_epoch), made.best_epoch), Cell(str(made.epochs), made.epochs)


def comparable(inputs: ReportInputs, made: Training) -> bool:
    """Whether the study's number and ours measure the same training on the same data."""
    return inputs.is_oxford17 and made.like_the_study


def _reason(inputs: ReportInputs, *starts: str) -> str:
    """Return why no training with such a label was made."""
    found = (why for label, why in sorted(inputs.untrained.items()) if label.startswith(starts))
    return next(found, "no result was made")


def _notes(inputs: ReportInputs, made: Sequence[Training | None]) -> tuple[str, ...]:
    verdicts = (
        "“within”: the study’s number lies in our interval; “better”: it lies below our interval; "
        "“below”: it lies above our interval.",
    )
    chosen = (
        "As in the study, the epoch kept is the one with the lowest loss on these same validation "
        "images, which flatters every number a little.",
    )
    return (
        *(verdicts if any(one and comparable(inputs, one) for one in made) else ()),
        *(chosen if any(one and one.recipe.selection == "val_loss" for one in made) else ()),
        *_comparison_notes(inputs, made),
    )


def _comparison_notes(inputs: ReportInputs, made: Sequence[Training | None]) -> Iterable[str]:
    if inputs.data_differences_in_short:
        yield (
            f"Not a comparison ({inputs.data_differences_in_short}): the study’s numbers only show "
            "where they belong."
        )
    if any(one and one.tag for one in made):
        yield (
            f"The study trains {PLAIN_EPOCHS} epochs on plain data and {AUGMENTED_EPOCHS} with "
            "augmentation; a row with a tag was trained otherwise and is not compared."
        )
    reduced = sorted({one.precision for one in made if one and one.precision != "float32"})
    if reduced:
        yield f"Computed in {', '.join(reduced).replace('_', ' ')}."
