"""Whether probabilities mean what they say, and one number that mends most of it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

N_BINS = 15
SMALLEST = 1e-12
RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """Images by their confidence, the highest probability: bins of equal width from 0 to 1.

    n_images: int (n_bins,). confidence, accuracy: their means, float64 (n_bins,), NaN in an empty
    bin.
    """

    n_images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def tempered(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (n, c) whose logarithms were divided by a temperature.

    Above 1 they become less certain, below 1 more; the order of the classes stays.
    """
    return softmax(np.log(np.maximum(proba, SMALLEST)) / temperature, axis=1)


def temperature(proba: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature, from 0.05 to 20, of the least mean cross-entropy.

    proba: (n, c) for images that decided nothing else; zeros count as 1e-12. labels: int (n,).
    Source: Guo et al. 2017, arXiv:1706.04599.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(tempered(proba, float(np.exp(log_temperature))), labels)

    optimum = minimize_scalar(
        loss, bounds=(np.log(RANGE[0]), np.log(RANGE[1])), method="bounded", options={"xatol": 1e-8}
    )
    return float(np.exp(optimum.x))


def log_loss(proba: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy; a zero counts as 1e-12."""
    of_truth = proba[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_truth, SMALLEST)).mean())


def reliability(proba: np.ndarray, labels: np.ndarray, n_bins: int = N_BINS) -> Reliability:
    """Return how often images of like confidence are classified correctly.

    proba: (n, c); labels: int (n,).
    """
    confidence = proba.max(axis=1)
    correct = proba.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    n_images = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, confidence, n_bins) / n_images
        accuracy = np.bincount(bins, correct, n_bins) / n_images
    return Reliability(n_images, mean_confidence, accuracy)


def expected_calibration_error(
    proba: np.ndarray, labels: np.ndarray, n_bins: int = N_BINS
) -> float:
    """Return the mean distance of confidence and accuracy over bins, weighted by their images.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    bins = reliability(proba, labels, n_bins)
    filled = bins.n_images > 0
    distance = np.abs(bins.accuracy - bins.confidence)[filled]
    return float((distance * bins.n_images[filled]).sum() / len(labels))
