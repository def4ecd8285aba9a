"""Conformal prediction: sets of classes that hold the right one as often as promised.

A class is in an image's set if its probability is at least a threshold, which the right classes of
held-out images reach as often as is promised. It holds on average over images like these, whatever
the model. Sources: Sadinle et al. 2019, arXiv:1609.00451 (the sets, class by class); Vovk 2015,
"Cross-conformal predictors" (calibration out of fold).
"""

import numpy as np

from flowers17.errors import InvalidInput


def class_thresholds(proba: np.ndarray, labels: np.ndarray, coverage: float) -> np.ndarray:
    """Least probability with which each class is in a set: float64 (c,).

    proba: float (n, c), of held-out images; labels: int (n,). A class has a threshold of its own
    if it has images enough, (n + 1)(1 - coverage) >= 1; else that of all images. Where these are
    too few, it is 0: every class is in the set.
    Raises InvalidInput unless 0 < coverage < 1 and there are images.
    """
    if not 0 < coverage < 1 or not len(labels):
        raise InvalidInput(
            f"coverage: expected between 0 and 1, and images to calibrate on, got {coverage} and "
            f"{len(labels)} images"
        )
    own = proba[np.arange(len(labels)), labels]
    pooled = _threshold(own, coverage)
    by_class = (own[labels == label] for label in range(proba.shape[1]))
    return np.array([_threshold(each, coverage, pooled) for each in by_class])


def _threshold(own: np.ndarray, coverage: float, otherwise: float = 0.0) -> float:
    """The k-th smallest probability, k = ⌊(n + 1)(1 - coverage)⌋; `otherwise` where k is 0."""
    k = int((len(own) + 1) * (1 - coverage) + 1e-9)
    return float(np.sort(own)[k - 1]) if k else otherwise


def prediction_sets(proba: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether each class is in an image's set: bool (n, c); the most probable class always is."""
    sets = proba >= thresholds
    sets[np.arange(len(proba)), proba.argmax(axis=1)] = True
    return sets


def cross_conformal_sets(
    proba: np.ndarray, labels: np.ndarray, folds: np.ndarray, coverage: float
) -> np.ndarray:
    """Sets of images by thresholds of the images of the other folds: bool (n, c).

    proba: out of fold, float (n, c); labels, folds: int (n,). What such sets cover is measured on
    images that calibrated nothing.
    """
    sets = np.empty(proba.shape, bool)
    for fold in np.unique(folds):
        held_out = folds == fold
        thresholds = class_thresholds(proba[~held_out], labels[~held_out], coverage)
        sets[held_out] = prediction_sets(proba[held_out], thresholds)
    return sets
