"""The figures of a part's best model: its worst mistakes, and its curves for two classes."""

from collections.abc import Iterator

import numpy as np
from sklearn import metrics

from flowers17.artifacts import Reference
from flowers17.reporting.classes.measures import area_under_roc, average_precision
from flowers17.reporting.classes.models import BestModel, best_model
from flowers17.reporting.confusion_figures import most_confused
from flowers17.reporting.drawing import (
    ACCENT,
    MUTED,
    WARM,
    WIDTH,
    canvas,
    say,
    svg_text,
    unit_square,
)
from flowers17.reporting.figures import Figure, chosen_rows, drawn, picture, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import PartName
from flowers17.reporting.wording import interval_text

MAX_PAIRS, MAX_SHOWN = 5, 4
_LEFT, _TOP, _SIDE, _GAP = 32.0, 24.0, 140.0, 34.0


def class_figures(inputs: ReportInputs, part: PartName) -> Iterator[Figure | None]:
    """Yield the figures of a part's best model; ensembles have mistakes of their own."""
    model = best_model(inputs, part)
    if not model:
        return
    yield _curves(model)
    if part != "a2":
        number, behind = f"{model.number}-pairs", f"{model.number}-classes"
        answers = model.rows, model.predicted, model.proba
        yield mistakes(inputs, number, model.title, model.best.source, *answers, behind=behind)


def mistakes(
    inputs: ReportInputs,
    number: str,
    title: str,
    source: Reference,
    rows: np.ndarray,
    predicted: np.ndarray,
    proba: np.ndarray,
    *,
    behind: str,
) -> Figure | None:
    """Figure of images of the classes that a model confuses most; None without mistakes.

    title: of the model, with its split. rows, predicted: int64 (n,), of the images held out; proba:
    (n, n_classes). behind: as of a Figure.
    """
    truth, names = inputs.labels[rows], inputs.class_names
    counts = metrics.confusion_matrix(truth, predicted, labels=np.arange(len(names)))
    pairs = most_confused(counts, MAX_PAIRS)
    if not inputs.images or not pairs:
        return None
    images = inputs.images.mapped("images")
    examples = {int(inputs.labels[row]): row for row in chosen_rows(inputs)}
    gap, label = 6.0, 18.0
    side = (WIDTH - gap * (MAX_SHOWN + 1)) / (MAX_SHOWN + 1)
    step = label + side + 2 * gap
    pictures = []
    with canvas(step * len(pairs), salt=f"figure-{number}") as (figure, axes):
        for index, (true, confused) in enumerate(pairs):
            y = index * step
            own, other = (shortened(names[label], 22) for label in (true, confused))
            text = f"{own} taken for {other}, {counts[true, confused]} of {counts[true].sum()}"
            say(axes, 0, y + 9, text, ha="left", weight="bold")
            say(axes, WIDTH, y + 9, shortened(other, 14), ha="right", color=MUTED)
            wrong = np.flatnonzero((truth == true) & (predicted == confused))
            wrong = wrong[np.argsort(-proba[wrong, confused], kind="stable")][:MAX_SHOWN]
            pictures += [
                picture(images[row], column * (side + gap), y + label, side)
                for column, row in enumerate(rows[wrong])
            ]
            if confused in examples:
                pictures.append(picture(images[examples[confused]], WIDTH - side, y + label, side))
        text = svg_text(figure, pictures)
    caption = (
        f"{inputs.kind_of_pictures}{title}: images of the classes most often taken for another, at "
        f"most {MAX_SHOWN} of each pair, the most certain errors first. At the right one image of "
        "the class that they were taken for."
    )
    used = (inputs.images.reference, source)
    heading = "What the most confused images look like"
    return drawn(number, heading, caption, text, used, behind=behind)


def _curves(model: BestModel) -> Figure | None:
    """Figure of ROC and precision-recall curves of two classes that both have held-out images."""
    names, truth, proba = model.inputs.class_names, model.truth, model.proba
    area = area_under_roc(truth == 1, proba[:, 1]) if len(names) == 2 else None
    if not area:
        return None
    second, number = _LEFT + _SIDE + _GAP, f"{model.number}-curves"
    areas = []
    with canvas(_TOP + _SIDE + 34, salt=f"figure-{number}") as (figure, axes):
        unit_square(axes, _LEFT, _TOP, _SIDE, "ROC", "recall by false-positive rate")
        unit_square(axes, second, _TOP, _SIDE, "precision-recall", "precision by recall")
        false, true, _ = metrics.roc_curve(truth == 1, proba[:, 1])
        lines = [(_LEFT, np.array([0, 1]), np.array([0, 1]), MUTED), (_LEFT, false, true, ACCENT)]
        for label, colour in enumerate((ACCENT, WARM)):
            is_positive, of_class = truth == label, proba[:, label]
            precision, recall, _ = metrics.precision_recall_curve(is_positive, of_class)
            lines.append((second, recall, precision, colour))
            under = average_precision(is_positive, of_class)
            areas.append(f"{names[label]} {under.value:.3f} ({interval_text(under.interval)})")
        for left, x, y, colour in lines:
            axes.plot(left + _SIDE * x, _TOP + _SIDE * (1 - y), color=colour, lw=1.6)
        text = svg_text(figure)
    caption = (
        f"{model.title}. Area under the ROC curve: {area.value:.3f} "
        f"({interval_text(area.interval)}), the same for either class. Average precision: blue, "
        f"{areas[0]}; red, {areas[1]}."
    )
    title, used = "ROC and precision-recall curves", (model.best.source,)
    return drawn(number, title, caption, text, used, behind=f"{model.number}-classes")
