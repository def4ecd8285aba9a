"""Which class an ensemble takes for which, and the pictures of the pairs most confused."""

import numpy as np

from flowers17.reporting.confusion_figures import counted, matrix_figure, most_confused
from flowers17.reporting.drawing import MUTED, WIDTH, canvas, say, svg_text
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.figures import Figure, chosen_rows, drawn, picture, shortened

MAX_PAIRS, MAX_SHOWN = 5, 4


def confusion_matrix(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5-confusion of an ensemble: its chosen method on one split."""
    counts = counted(result.truth, result.predicted(*result.chosen), len(result.classes))
    title = f"Confusions of {ensemble.title}"
    number = f"5{ensemble.suffix}-confusion"
    right = f"{result.chosen_score.n_correct} of {len(result.rows)} right"
    caption = f"{_subject(ensemble, result)}: {right} on {result.split_title}."
    names, used, behind = result.classes, (result.reference,), f"5{ensemble.suffix}"
    return matrix_figure(number, title, caption, counts, names, used, behind=behind)


def _subject(ensemble: Ensemble, result: EnsembleResult) -> str:
    title = f"{ensemble.capital_title}, {method_title(result.chosen[0])}"
    return f"{title} ({ensemble.tag})" if ensemble.tag else title


def confused_pairs(ensemble: Ensemble, result: EnsembleResult) -> Figure | None:
    """Figure 5-pairs of an ensemble that confuses classes: images that it gets wrong."""
    inputs, predicted = ensemble.inputs, result.predicted(*result.chosen)
    counts = counted(result.truth, predicted, len(result.classes))
    pairs = most_confused(counts, MAX_PAIRS)
    if not inputs.images or not pairs:
        return None
    images, proba = inputs.images.mapped("images"), result.proba(*result.chosen)
    examples = {int(inputs.labels[row]): row for row in chosen_rows(inputs)}
    number = f"5{ensemble.suffix}-pairs"
    gap, label = 6.0, 18.0
    side = (WIDTH - gap * (MAX_SHOWN + 1)) / (MAX_SHOWN + 1)
    step = label + side + 2 * gap
    pictures = []
    with canvas(step * len(pairs), salt=f"figure-{number}") as (figure, axes):
        for index, (true, confused) in enumerate(pairs):
            y = index * step
            names = [shortened(result.classes[label], 22) for label in (true, confused)]
            total = int(counts[true].sum())
            text = f"{names[0]} taken for {names[1]}, {counts[true, confused]} of {total}"
            say(axes, 0, y + 9, text, ha="left", weight="bold")
            say(axes, WIDTH, y + 9, shortened(names[1], 14), ha="right", color=MUTED)
            wrong = np.flatnonzero((result.truth == true) & (predicted == confused))
            wrong = wrong[np.argsort(-proba[wrong, confused], kind="stable")][:MAX_SHOWN]
            pictures += [
                picture(images[row], column * (side + gap), y + label, side)
                for column, row in enumerate(result.rows[wrong])
            ]
            if confused in examples:
                pictures.append(picture(images[examples[confused]], WIDTH - side, y + label, side))
        text = svg_text(figure, pictures)
    caption = (
        f"{inputs.kind_of_pictures}{_subject(ensemble, result)}, on {result.split_title}: images "
        f"of the classes most often taken for another, at most {MAX_SHOWN} of each pair, the most "
        "certain errors first. At the right one image of the class that they were taken for."
    )
    used = (inputs.images.reference, result.reference)
    title = "What the most confused images look like"
    return drawn(number, title, caption, text, used, behind=f"5{ensemble.suffix}")
