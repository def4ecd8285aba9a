"""The best model of each part, with its predictions of the images that one split holds out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.best import (
    Best,
    BestOfPart,
    best_classifiers,
    best_ensembles,
    best_fine_tuned,
    best_networks,
    split_text,
)
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Score
from flowers17.reporting.reference import PartName
from flowers17.reporting.wording import capital

# With which number a part's tables begin, and what is best of it.
_PARTS: Mapping[PartName, tuple[str, Callable[[ReportInputs], BestOfPart]]] = {
    "a1": ("3", best_networks),
    "a2": ("5", best_ensembles),
    "b1": ("8", best_classifiers),
    "b2": ("9", best_fine_tuned),
}


@dataclass(frozen=True, eq=False)
class BestModel:
    """The best model of a part on one split: a classifier on the clean one, others on their first.

    rows, predicted: int64 (n,), of the images held out; proba: (n, n_classes). train: rows of the
    training images; out_of_fold: their probabilities, each by a fit without it, None if not known.
    """

    inputs: ReportInputs
    number: str
    best: Best
    score: Score
    rows: np.ndarray
    predicted: np.ndarray
    proba: np.ndarray
    train: np.ndarray
    out_of_fold: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """Labels of the images."""
        return self.inputs.labels[self.rows]

    @property
    def title(self) -> str:
        """Its name, its tag and the split."""
        tag = f" ({self.best.tag})" if self.best.tag else ""
        return f"{capital(self.best.title)}{tag}, on the {split_text(self.score)}"


def best_model(inputs: ReportInputs, part: PartName) -> BestModel | None:
    """The best model of a part: see `reporting.best`; None without any."""
    if part not in _PARTS or not inputs.images or not inputs.splits:
        return None
    number, best_of_part = _PARTS[part]
    best = best_of_part(inputs).overall
    if not best:
        return None
    folds = None
    if best.source.stage == "classifier":
        run = next(e for e in inputs.evaluations if e.artifact.reference == best.source)
        score = run.score("clean") or next(iter(run.scores.values()))
        answers = run.predicted(score.split), run.proba(score.split)
        folds = _array(run.artifact, f"{score.split}-out-of-fold")
    elif best.source.stage == "stacking":
        result = next(r for r in inputs.ensemble_results if r.reference == best.source)
        score, (method, by) = result.chosen_score, result.chosen
        answers = result.predicted(method, by), result.proba(method, by)
        folds = _array(result.stacked, f"{method}-out-of-fold")
    else:
        networks = [*inputs.trainings, *inputs.fine_tunings]
        network = next(n for n in networks if n.artifact.reference == best.source)
        score, proba = network.score, network.artifact.mapped("proba")
        answers = network.predicted, proba[inputs.validation_rows(score.split)]
    rows, train = (inputs.rows(score.split, part) for part in ("validation", "train"))
    if best.source.stage == "stacking":
        train = np.flatnonzero(result.folds.array("folds") >= 0)
    return BestModel(inputs, number, best, score, rows, *answers, train, folds)


def _array(artifact: Artifact | None, name: str) -> np.ndarray | None:
    """An array of an artifact; None if it has none of the name."""
    has_array = artifact and f"{name}.npy" in artifact.manifest["files"]
    return artifact.array(name) if artifact and has_array else None
