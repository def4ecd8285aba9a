"""Figure 7c: which class the best classifier takes for which; matrices of confusions in general."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from flowers17.artifacts import Reference
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.drawing import ACCENT, LINE, WARM, WIDTH, canvas, say, svg_text
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.figures import Figure, drawn, shortened
from flowers17.reporting.records import Evaluation

MAX_CLASSES_NAMED = 30


def confusion(inputs: ReportInputs, evaluation: Evaluation, split: str) -> np.ndarray:
    """Return how often each class was taken for each, int64 (true class, predicted class)."""
    truth = inputs.labels[inputs.validation_rows(split)]
    return counted(truth, evaluation.predicted(split), len(inputs.class_names))


def counted(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return how often each class was taken for each, int64 (true class, predicted class)."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def confusion_matrix(inputs: ReportInputs) -> Figure | None:
    """Return Figure 7c: which class the best of Table 8 takes for which."""
    best = inputs.best
    score = best.score("report") if best else None
    if not best or not score:
        return None
    tag = ", untrained weights" if best.random_weights else ""
    caption = (
        f"{_sentence(evaluation_title(inputs, best))}{tag}: {score.n_correct} of "
        f"{score.n_validation} right on the report’s split."
    )
    counts, used = confusion(inputs, best, score.split), (best.artifact.reference,)
    title = "Confusions of the best classifier"
    return matrix_figure("7c", title, caption, counts, inputs.class_names, used)


def matrix_figure(
    number: str,
    title: str,
    caption: str,
    counts: np.ndarray,
    names: Sequence[str],
    used: tuple[Reference, ...],
) -> Figure:
    """Return a figure of confusions, its caption told how to read it and which are the most.

    counts: int (true class, predicted class); names: of the classes.
    """
    n = len(counts)
    named = n <= MAX_CLASSES_NAMED
    left, top = (104.0, 96.0) if named else (10.0, 10.0)
    cell = (WIDTH - left - 2) / n
    with canvas(top + n * cell + 8, salt=f"figure-{number}") as (figure, axes):
        _matrix(axes, counts, left, top, cell, named=named)
        if named:
            for index, name in enumerate(names):
                middle = (index + 0.5) * cell
                say(axes, left - 6, top + middle, shortened(name, 18), ha="right")
                say(axes, left + middle, top - 6, shortened(name, 18), rotation=90, va="bottom")
        text = svg_text(figure)
    caption += " A row is a true class, a column what it was taken for; the order is the same."
    if not named:
        caption += f" The {n} classes are in the order of Table D1."
    worst = "; ".join(
        f"{names[true]} taken for {names[predicted]} ({counts[true, predicted]})"
        for true, predicted in most_confused(counts, 3)
    )
    caption += f" Most often confused: {worst}." if worst else ""
    return drawn(number, title, caption, text, used)


def most_confused(counts: np.ndarray, n: int) -> list[tuple[int, int]]:
    """Return up to n pairs of a true class and another it was taken for, the most frequent first.

    >>> most_confused(np.array([[5, 2], [1, 4]]), 3)
    [(0, 1), (1, 0)]
    """
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:n]
    pairs = [np.unravel_index(index, errors.shape) for index in order if errors.flat[index] > 0]
    return [(int(true), int(predicted)) for true, predicted in pairs]


def _matrix(
    axes: Axes, counts: np.ndarray, left: float, top: float, cell: float, *, named: bool
) -> None:
    n = len(counts)
    totals = np.maximum(counts.sum(axis=1), 1)
    for true, predicted in zip(*np.nonzero(counts), strict=True):
        x, y, count = left + predicted * cell, top + true * cell, counts[true, predicted]
        share = count / totals[true]
        right = true == predicted
        axes.fill_between(
            [x + 0.5, x + cell - 0.5],
            y + 0.5,
            y + cell - 0.5,
            lw=0,
            color=ACCENT if right else WARM,
            alpha=0.08 + 0.4 * share if right else min(0.6, 0.18 + 1.2 * share),
        )
        if named:
            say(axes, x + cell / 2, y + cell / 2, str(count), size=min(9.0, cell * 0.55))
    for index in range(n + 1):
        if index in (0, n):
            across, down = left + index * cell, top + index * cell
            axes.plot([left, left + n * cell], [down, down], color=LINE, lw=0.8)
            axes.plot([across, across], [top, top + n * cell], color=LINE, lw=0.8)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
