"""Figure 7c: which class the best classifier takes for which; matrices of confusions in general."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics

from flowers17.artifacts import Reference
from flowers17.reporting.drawing import WIDTH, from_template
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.figures import Figure, class_labels, drawn
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.wording import capital

MAX_CLASSES_NAMED = 30
LEAST_SIDE = 13.5  # points of a cell in which a count can be read


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """How often each class was taken for each, int64 (true class, predicted class)."""
    return metrics.confusion_matrix(truth, predicted, labels=np.arange(n_classes))


def confusion_matrix(inputs: ReportInputs) -> Figure | None:
    """Figure 7c: which class the best of Table 8 takes for which."""
    best = inputs.best
    score = best.score("report") if best else None
    if not best or not score:
        return None
    tag = ", untrained weights" if best.random_weights else ""
    subject = f"{capital(evaluation_title(inputs, best))}{tag}: {score.n_correct} of "
    subject += f"{score.n_validation} right on the report’s split."
    truth, names = inputs.labels[inputs.rows(score.split)], inputs.class_names
    counts = confusion(truth, best.predicted(score.split), len(names))
    used = (best.artifact.reference,)
    return matrix_figure("7c", counts, names, used, behind="8c", subject=subject)


class MatrixCell(NamedTuple):
    """A filled cell of a matrix of classes, with its text, colour and share of the row."""

    row: int
    column: int
    text: str
    colour: str
    share: float


def class_matrix(
    names: Sequence[str],
    cells: Iterable[MatrixCell],
    *,
    columns: str,
    scale: Mapping[str, str],
    size: float = 9.0,
) -> tuple[str, str]:
    """A matrix of classes as an SVG element, and the end of its caption where they have no names.

    Rows are true classes. columns: what the columns are. scale: what a cell
    of each colour is, a share of the row's images. size: of the text in points, at most.
    """
    n = len(names)
    named = n <= MAX_CLASSES_NAMED
    left = 118.0 if named else 22.0
    width = max(WIDTH, left + 2 + n * LEAST_SIDE * named)
    labels, note = class_labels(names if named else ())
    text = from_template(
        "matrix.svg",
        width=width,
        n=n,
        side=(width - left - 2) / n,
        labels=labels,
        cells=cells,
        columns=columns,
        scale=scale,
        size=size,
        opacity=opacity,
    )
    return text, note if named else f" The {n} classes are in the order of Table D1."


def opacity(share: float) -> float:
    """Opacity of a cell's colour: text can be read on each, in light and in dark."""
    return 0.08 + 0.42 * share


def matrix_figure(
    number: str,
    counts: np.ndarray,
    names: Sequence[str],
    used: tuple[Reference, ...],
    *,
    behind: str,
    subject: str,
    **values: Any,
) -> Figure:
    """A figure of confusions, its caption told how to read it and which are the most.

    counts: int (true class, predicted class); names: of the classes. behind, values: as of `drawn`.
    subject: whose confusions they are, the first sentence of the caption.
    """
    scale = {"accent": "share of the class, right", "warm": "share of the class, wrong"}
    drawing, order = class_matrix(names, _cells(counts), columns="taken for", scale=scale)
    worst = "; ".join(
        f"{names[true]} taken for {names[predicted]} ({counts[true, predicted]})"
        for true, predicted in most_confused(counts, 3)
    )
    values |= {"subject": subject, "order": order, "worst": worst}
    return drawn(number, drawing, used, behind=behind, **values)


def _cells(counts: np.ndarray) -> Iterator[MatrixCell]:
    totals = np.maximum(counts.sum(axis=1), 1)
    for true, predicted in zip(*np.nonzero(counts), strict=True):
        count = counts[true, predicted]
        colour = "accent" if true == predicted else "warm"
        yield MatrixCell(true, predicted, str(count), colour, count / totals[true])


def most_confused(counts: np.ndarray, n: int) -> list[tuple[int, int]]:
    """Up to n pairs of a true class and another it was taken for, the most frequent first.

    >>> most_confused(np.array([[5, 2], [1, 4]]), 3)
    [(0, 1), (1, 0)]
    """
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:n]
    pairs = [np.unravel_index(index, errors.shape) for index in order if errors.flat[index] > 0]
    return [(int(true), int(predicted)) for true, predicted in pairs]
