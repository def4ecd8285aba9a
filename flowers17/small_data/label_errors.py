"""Labels that look wrong, by probabilities of models that did not see the images' own labels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flowers17.ensemble.calibration import temperature, tempered
from flowers17.seeds import generator

N_DRAWS, MIN_DOUBTFUL = 200, 50


@dataclass(frozen=True)
class LabelErrors:
    """How much each label looks wrong; all are (n,), in the order of the images.

    self_confidence: probability of the given label. margin: it, less the highest of the others,
    from -1 to 1. suggested: the class of that highest one. is_suspect: see
    that function. n_by_chance: mean number of suspects, and 95 % of its draws, were all labels
    right.
    """

    self_confidence: np.ndarray
    margin: np.ndarray
    suggested: np.ndarray
    is_suspect: np.ndarray
    n_by_chance: tuple[float, float, float]

    def ranked(self, pairs: Iterable[tuple[int, int]] = ()) -> np.ndarray:
        """Images, those whose labels look most wrong first: int64 (n,), by self-confidence.

        pairs: near-duplicates of different labels, of which one must be wrong; they come first.
        """
        contradicted = np.isin(np.arange(len(self.margin)), [row for pair in pairs for row in pair])
        return np.lexsort((self.self_confidence, ~contradicted))


def label_errors(proba: np.ndarray, labels: np.ndarray, seed: int) -> LabelErrors:
    """Measures of each label against out-of-fold probabilities.

    proba: float (n, c); labels: int (n,). By chance are suspects of labels that are drawn from
    the probabilities, as if the model were as uncertain as it says. A temperature calibrates them
    before, on the images without a confident class: elsewhere wrong labels, as suspects, would make
    the model look uncertain. With few such images all serve, and chance looks larger.
    Source of the two scores and of suspects: Northcutt et al. 2021, arXiv:1911.00068.
    """
    rows = np.arange(len(labels))
    own, others = proba[rows, labels], proba.copy()
    others[rows, labels] = -1
    suggested = others.argmax(axis=1)
    doubtful = np.flatnonzero(~_confident(proba, labels).any(axis=1))
    calibrating = doubtful if len(doubtful) >= MIN_DOUBTFUL else rows
    heat = temperature(proba[calibrating], labels[calibrating])
    random, steps = generator(seed, "label-errors"), tempered(proba, heat).cumsum(axis=1)[:, :-1]
    counts = [
        is_suspect(proba, (random.random((len(labels), 1)) > steps).sum(axis=1)).sum()
        for _ in range(N_DRAWS)
    ]
    low, high = np.quantile(counts, [0.025, 0.975])
    by_chance = (float(np.mean(counts)), float(low), float(high))
    suspects = is_suspect(proba, labels)
    return LabelErrors(own, own - others[rows, suggested], suggested, suspects, by_chance)


def is_suspect(proba: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether an image counts off the diagonal of the confident joint: bool (n,).

    It counts for the most probable of its confident classes.
    """
    confident = np.where(_confident(proba, labels), proba, -1.0)
    return (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels)


def _confident(proba: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether a class is confident for an image: bool (n, c).

    Its probability is at least the mean that images of this label give it; none without images.
    """
    counts = np.bincount(labels, minlength=proba.shape[1])
    sums = np.bincount(labels, proba[np.arange(len(labels)), labels], proba.shape[1])
    return np.asarray(proba >= np.where(counts > 0, sums / np.maximum(counts, 1), np.inf))
