"""Averages of several models' probabilities, plain and weighted."""

import numpy as np

from flowers17.errors import InvalidInput

TOLERANCE = 1e-9
MAX_ITERATIONS = 100_000
SMALLEST = 1e-12


def averaged(probas: np.ndarray) -> np.ndarray:
    """Return the mean over models: (m, n, c) → (n, c). The study calls it bagging."""
    return np.asarray(probas, np.float64).mean(axis=0)


def best_weights(probas: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weights, float64 (m,), whose weighted average has the least mean cross-entropy.

    probas: (m, n, c), for images that the models did not see. labels: int (n,). Weights are not
    negative and sum to one. The problem is convex; expectation-maximisation for the weights of a
    mixture climbs to its one solution, until a step gains less than 1e-9 per image.
    Source: Dempster, Laird and Rubin 1977, section 4.3.
    """
    if probas.ndim != 3 or probas.shape[1] != len(labels) or not len(labels):
        raise InvalidInput(
            f"expected probabilities (models, {len(labels)}, classes), got {probas.shape}"
        )
    of_truth = np.asarray(probas, np.float64)[:, np.arange(len(labels)), labels]
    of_truth = np.maximum(of_truth, SMALLEST)
    weights = np.full(len(probas), 1.0 / len(probas))
    before = np.log(weights @ of_truth).mean()
    for _ in range(MAX_ITERATIONS):
        weights = weights * (of_truth / (weights @ of_truth)).mean(axis=1)
        now = np.log(weights @ of_truth).mean()
        if now - before < TOLERANCE:
            break
        before = now
    return weights / weights.sum()


def weighted(probas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted average: (m, n, c) and (m,) → (n, c)."""
    return np.tensordot(weights, np.asarray(probas, np.float64), axes=1)
