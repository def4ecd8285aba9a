"""The figures of a part's best model: its worst mistakes, and its curves for two classes."""

from collections.abc import Iterator

import numpy as np
from sklearn import metrics

from flowers17.artifacts import Reference
from flowers17.reporting.classes.measures import area_under_roc, average_precision
from flowers17.reporting.classes.tables import BestModel, best_model
from flowers17.reporting.confusion_figures import confusion, most_confused
from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.figures import Figure, chosen_rows, data_uri, drawn, shortened
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import PartName
from flowers17.reporting.wording import interval_text

MAX_PAIRS, MAX_SHOWN = 5, 4


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
    counts = confusion(truth, predicted, len(names))
    pairs = most_confused(counts, MAX_PAIRS)
    if not inputs.images or not pairs:
        return None
    images = inputs.images.mapped("images")
    examples = {int(inputs.labels[row]): row for row in chosen_rows(inputs)}
    rows_shown = []
    for true, confused in pairs:
        own, other = (shortened(names[label], 22) for label in (true, confused))
        wrong = np.flatnonzero((truth == true) & (predicted == confused))
        wrong = wrong[np.argsort(-proba[wrong, confused], kind="stable")][:MAX_SHOWN]
        uris = [data_uri(images[row]) for row in rows[wrong]]
        uris += [""] * (MAX_SHOWN - len(uris))
        uris += [data_uri(images[examples[confused]])] if confused in examples else []
        heading = f"{own} taken for {other}, {counts[true, confused]} of {counts[true].sum()}"
        rows_shown.append((heading, shortened(other, 14), uris, ()))
    side = (WIDTH - 6 * MAX_SHOWN) / (MAX_SHOWN + 1)
    drawing = from_template("pictures.svg", rows=rows_shown, side=side, gap=6)
    used, values = (inputs.images.reference, source), {"model": title, "n_shown": MAX_SHOWN}
    return drawn(number, drawing, used, behind=behind, name="pairs", inputs=inputs, **values)


def _curves(model: BestModel) -> Figure | None:
    """Figure of ROC and precision-recall curves of two classes that both have held-out images."""
    names, truth, proba = model.inputs.class_names, model.truth, model.proba
    area = area_under_roc(truth == 1, proba[:, 1]) if len(names) == 2 else None
    if not area:
        return None
    false, true, _ = metrics.roc_curve(truth == 1, proba[:, 1])
    areas, curves = [], []
    for label, colour in enumerate(("accent", "warm")):
        is_positive, of_class = truth == label, proba[:, label]
        precision, recall, _ = metrics.precision_recall_curve(is_positive, of_class)
        curves.append((list(zip(recall, precision, strict=True)), colour))
        under = average_precision(is_positive, of_class)
        areas.append(f"{names[label]} {under.value:.3f} ({interval_text(under.interval)})")
    roc = [(list(zip(false, true, strict=True)), "accent")]
    below = "recall by false-positive rate", "precision by recall"
    panels = [
        {"title": "ROC", "below": below[0], "diagonal": True, "curves": roc},
        {"title": "precision-recall", "below": below[1], "curves": curves},
    ]
    drawing = from_template("squares.svg", beside="", panels=panels)
    number, behind = f"{model.number}-curves", f"{model.number}-classes"
    values = {"model": model, "area": area, "areas": areas}
    return drawn(number, drawing, (model.best.source,), behind=behind, name="curves", **values)
