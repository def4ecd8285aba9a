"""The figures of Part A.1: learning curves, and what the augmentations do to an image."""

from collections.abc import Sequence

from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.figures import Figure, data_uri, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.cells import augmentation_title, learner_title
from flowers17.reporting.learners.curves import Curves, curves_caption, grid_svg
from flowers17.reporting.records import Training
from flowers17.reporting.reference import title_of

MAX_DRAWS = 6
_DOES = {
    "zoom": "zoomed in or out at random, up to 50 %",
    "flips": "flipped at random, left to right and top to bottom",
    "wide": "zoomed, flipped, shifted, rotated and sheared at random",
    "strong": "cut, mirrored, moved, turned and coloured at random",
}


def plain_curves(inputs: ReportInputs) -> Figure | None:
    """Figure 2: learning curves on plain data; None if no learner was trained on it."""
    trainings = [inputs.training(name, "none") for name in inputs.study.learners.plain]
    rows = [(learner_title(training.learner), training) for training in trainings if training]
    return _curves(inputs, "2", title_of("figure", 2), rows, behind="2")


def augmented_curves(inputs: ReportInputs, number: int, learner: str) -> Figure | None:
    """Figure 3 or 4: one learner under each augmentation; None if it was not trained so."""
    trainings = [inputs.training(learner, name) for name in inputs.study.learners.augmentations]
    rows = [(augmentation_title(t.augmentation), t) for t in trainings if t]
    return _curves(inputs, str(number), title_of("figure", number), rows, behind="3")


def own_curves(inputs: ReportInputs) -> Figure | None:
    """Figure 4b: learning curves of our own recipe, each learner on its first split."""
    firsts = [trainings[0] for trainings in inputs.own_trainings.values()]
    rows = [(f"{learner_title(t.learner)}, split {t.score.split}", t) for t in firsts]
    return _curves(inputs, "4b", "Learning curves of our own recipe", rows, behind="3c")


def _curves(
    inputs: ReportInputs,
    number: str,
    title: str,
    trainings: Sequence[tuple[str, Training]],
    *,
    behind: str,
) -> Figure | None:
    if not trainings:
        return None
    rows = [
        Curves(name, t.history, t.best_epoch, f"kept: epoch {t.best_epoch} of {t.epochs}")
        for name, t in trainings
    ]
    caption = (
        "Loss and accuracy on the training images as they are trained on, and on the validation "
        "images. The dashed line and the dot mark the epoch whose weights are kept."
    )
    if any(t.recipe.mixup or t.recipe.label_smoothing for _, t in trainings):
        caption += (
            " With mixed images or smoothed labels the training loss cannot reach zero, and is "
            "measured on harder images than the validation loss."
        )
    caption += curves_caption(rows, inputs.data_differences_in_short)
    used = tuple(training.artifact.reference for _, training in trainings)
    return drawn(number, title, caption, grid_svg(rows), used, behind=behind)


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
        (augmentation_title(name), _DOES.get(name, ""), list(map(data_uri, draws)), ())
        for name, draws in zip(names, examples, strict=True)
    ]
    text = from_template("pictures.svg", width=WIDTH, rows=rows, side=side, gap=gap)
    caption = (
        f"{inputs.kind_of_pictures}One image and what each augmentation may make of it. Every "
        "epoch draws anew; validation images are never changed."
    )
    used = (artifact.reference,)
    title = "What the augmentations do to an image"
    return drawn("3b", title, caption, text, used, behind="3")
