"""Which class an ensemble takes for which, and the pictures of the pairs most confused."""

import numpy as np

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.confusion_figures import counted, matrix_figure, most_confused
from flowers17.reporting.drawing import MUTED, WIDTH, canvas, say, svg_text
from flowers17.reporting.ensembles.cells import (
    ensemble_title,
    mains,
    method_title,
    split_title,
    suffix_of,
    tag_of,
)
from flowers17.reporting.ensembles.records import Ensemble
from flowers17.reporting.figures import Figure, chosen_rows, drawn, picture, shortened
from flowers17.reporting.wording import capital

MAX_PAIRS, MAX_SHOWN = 5, 4


def confusion_matrices(inputs: ReportInputs) -> list[Figure]:
    """Return Figure 5-confusion of each ensemble: its chosen method, on its first split."""
    return [_matrix(inputs, one) for one in mains(inputs)]


def predicted_by(one: Ensemble) -> np.ndarray:
    """Return the classes predicted by an ensemble's chosen method, int64 (n_validation,)."""
    return one.proba(*one.chosen).argmax(axis=1)


def _matrix(inputs: ReportInputs, one: Ensemble) -> Figure:
    counts = counted(one.truth, predicted_by(one), len(one.classes))
    used = (one.stacked.reference,) if one.stacked else ()
    title = f"Confusions of {ensemble_title(inputs, one.name)}"
    number = f"5{suffix_of(inputs, one.name)}-confusion"
    right = f"{one.chosen_correct} of {len(one.rows)} right"
    caption = f"{_called(inputs, one)}: {right} on {split_title(one)}."
    return matrix_figure(number, title, caption, counts, one.classes, used)


def _called(inputs: ReportInputs, one: Ensemble) -> str:
    tag = tag_of(inputs, one.name)
    title = f"{capital(ensemble_title(inputs, one.name))}, {method_title(one.chosen[0])}"
    return f"{title} ({tag})" if tag else title


def confused_pairs(inputs: ReportInputs) -> list[Figure]:
    """Return Figure 5-pairs of each ensemble that confuses classes: images that it gets wrong."""
    return [figure for one in mains(inputs) if (figure := _pairs(inputs, one))]


def _pairs(inputs: ReportInputs, one: Ensemble) -> Figure | None:
    predicted = predicted_by(one)
    counts = counted(one.truth, predicted, len(one.classes))
    pairs = most_confused(counts, MAX_PAIRS)
    if not inputs.images or not pairs:
        return None
    images, proba = inputs.images.mapped("images"), one.proba(*one.chosen)
    examples = {int(inputs.labels[row]): row for row in chosen_rows(inputs)}
    number = f"5{suffix_of(inputs, one.name)}-pairs"
    gap, label = 6.0, 18.0
    side = (WIDTH - gap * (MAX_SHOWN + 1)) / (MAX_SHOWN + 1)
    step = label + side + 2 * gap
    pictures = []
    with canvas(step * len(pairs), salt=f"figure-{number}") as (figure, axes):
        for place, (true, taken) in enumerate(pairs):
            y = place * step
            names = [shortened(one.classes[label], 22) for label in (true, taken)]
            total = int(counts[true].sum())
            what = f"{names[0]} taken for {names[1]}, {counts[true, taken]} of {total}"
            say(axes, 0, y + 9, what, ha="left", weight="bold")
            say(axes, WIDTH, y + 9, shortened(names[1], 14), ha="right", color=MUTED)
            wrong = np.flatnonzero((one.truth == true) & (predicted == taken))
            wrong = wrong[np.argsort(-proba[wrong, taken], kind="stable")][:MAX_SHOWN]
            pictures += [
                picture(images[row], column * (side + gap), y + label, side)
                for column, row in enumerate(one.rows[wrong])
            ]
            if taken in examples:
                pictures.append(picture(images[examples[taken]], WIDTH - side, y + label, side))
        text = svg_text(figure)
    text = text.removesuffix("</svg>") + "\n".join(pictures) + "\n</svg>"
    kind = "Rendered flowers, drawn from code. " if inputs.is_rendered else ""
    caption = (
        f"{kind}{_called(inputs, one)}, on {split_title(one)}: images of the classes most often "
        f"taken for another, at most {MAX_SHOWN} of each pair, the most certain errors first. At "
        "the right one image of the class that they were taken for."
    )
    used = (inputs.images.reference, *((one.stacked.reference,) if one.stacked else ()))
    return drawn(number, "What the most confused images look like", caption, text, used)
