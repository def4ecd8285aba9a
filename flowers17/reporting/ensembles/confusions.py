"""Which class an ensemble takes for which, and the pictures of the pairs most confused."""

import numpy as np
from sklearn import metrics

from flowers17.reporting.classes.figures import mistakes
from flowers17.reporting.confusion_figures import matrix_figure
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.figures import Figure


def confusion_matrix(ensemble: Ensemble, result: EnsembleResult) -> Figure:
    """Figure 5-confusion of an ensemble: its chosen method on one split."""
    labels = np.arange(len(result.classes))
    predicted = result.predicted(*result.chosen)
    counts = metrics.confusion_matrix(result.truth, predicted, labels=labels)
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
    return mistakes(
        ensemble.inputs,
        f"5{ensemble.suffix}-pairs",
        f"{_subject(ensemble, result)}, on {result.split_title}",
        result.reference,
        result.rows,
        result.predicted(*result.chosen),
        result.proba(*result.chosen),
        behind=f"5{ensemble.suffix}",
    )
