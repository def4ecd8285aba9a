"""The figures of Part A.1: learning curves, and what the augmentations do to an image."""

from collections.abc import Sequence

from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.figures import Figure, data_uri, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.curves import Curves, grid_svg, is_cut
from flowers17.reporting.records import Training
from flowers17.reporting.titles import augmentation_title, learner_title
from flowers17.reporting.words import text

MAX_DRAWS = 6


def learner_figures(inputs: ReportInputs) -> list[Figure | None]:
    """Figures 2 to 4: learning curves by the study's recipe and by ours, and augmented images."""
    plain = [inputs.training(name, "none") for name in inputs.study.learners.plain]
    firsts = [trainings[0] for trainings in inputs.own_trainings.values()]
    on_splits = [(f"{learner_title(t.learner)}, split {t.score.split}", t) for t in firsts]
    return [
        _curves(inputs, "2", [(learner_title(t.learner), t) for t in plain if t], behind="2"),
        _augmented_curves(inputs, "3", "mk-2"),
        augmentation_examples(inputs),
        _augmented_curves(inputs, "4", "mk-3"),
        _curves(inputs, "4b", on_splits, behind="3c"),
    ]


def _augmented_curves(inputs: ReportInputs, number: str, learner: str) -> Figure | None:
    """Figure of one learner under each augmentation; None if it was not trained so."""
    trainings = [inputs.training(learner, name) for name in inputs.study.learners.augmentations]
    rows = [(augmentation_title(t.augmentation), t) for t in trainings if t]
    return _curves(inputs, number, rows, behind="3")


def _curves(
    inputs: ReportInputs, number: str, trainings: Sequence[tuple[str, Training]], *, behind: str
) -> Figure | None:
    if not trainings:
        return None
    rows = [
        Curves(name, t.history, t.best_epoch, f"kept: epoch {t.best_epoch} of {t.epochs}")
        for name, t in trainings
    ]
    mixed = any(t.recipe.mixup or t.recipe.label_smoothing for _, t in trainings)
    used = tuple(training.artifact.reference for _, training in trainings)
    return drawn(
        number,
        grid_svg(rows),
        used,
        behind=behind,
        inputs=inputs,
        mixed=mixed,
        cut=is_cut(rows),
    )


def augmentation_examples(inputs: ReportInputs) -> Figure | None:
    """Figure 3b: an image, and several random draws of each augmentation of it."""
    artifact = next(iter(inputs.stage("augmentations")), None)
    if not artifact:
        return None
    names: list[str] = artifact.json("names")
    original, examples = artifact.array("original"), artifact.array("examples")[:, :MAX_DRAWS]
    gap = 6.0
    side = min((WIDTH - gap * (examples.shape[1] - 1)) / examples.shape[1], 72.0)
    unchanged = "validation always sees images as they are"
    rows = [("The image itself", unchanged, [data_uri(original)], ())]
    rows += [
        (augmentation_title(name), text("augmentations", name), list(map(data_uri, draws)), ())
        for name, draws in zip(names, examples, strict=True)
    ]
    drawing = from_template("pictures.svg", rows=rows, side=side, gap=gap)
    return drawn("3b", drawing, (artifact.reference,), behind="3", inputs=inputs)
