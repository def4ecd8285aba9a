"""Gaussian naive Bayes by matrix products, block by block of columns.

scikit-learn's GaussianNB walks all columns once a class, in double precision several times the
size of the features. Expanding (x − μ)² / σ² makes it three products that need one block at a
time, and the moments serve every value of the smoothing. Columns are centred first, so that the
expansion loses nothing that shows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import softmax

COLUMNS_PER_BLOCK = 4096


def naive_bayes_probas(
    train: np.ndarray, labels: np.ndarray, evaluated: np.ndarray, smoothings: Sequence[float]
) -> list[np.ndarray]:
    """Return, for each smoothing, class probabilities: float64 (n_evaluated, n_classes).

    train: float (n, d); labels: int (n,), 0..n_classes-1, each there; evaluated: float (m, d).
    smoothings: shares of the largest column variance that are added to every variance.
    Source: what GaussianNB of scikit-learn computes, to about 1e-9.
    """
    n_images = np.bincount(labels)
    membership = (labels == np.arange(len(n_images))[:, None]) / n_images[:, None]
    centre = train.mean(axis=0, dtype=np.float64)
    means, variances = (np.empty((len(n_images), train.shape[1])) for _ in range(2))
    largest = 0.0
    for block in _blocks(train.shape[1]):
        columns = train[:, block] - centre[block]
        squares = columns**2
        largest = max(largest, float(squares.mean(axis=0).max()))
        means[:, block] = membership @ columns
        variances[:, block] = np.maximum(membership @ squares - means[:, block] ** 2, 0)
    prior = np.log(n_images / len(labels))
    scores = [np.tile(prior, (len(evaluated), 1)) for _ in smoothings]
    for block in _blocks(train.shape[1]):
        columns = evaluated[:, block] - centre[block]
        squares = columns**2
        mean = means[:, block]
        for score, smoothing in zip(scores, smoothings, strict=True):
            variance = variances[:, block] + smoothing * largest
            constant = np.sum(np.log(2 * np.pi * variance) + mean**2 / variance, axis=1)
            score -= (squares @ (1 / variance).T - 2 * columns @ (mean / variance).T + constant) / 2
    return [softmax(score, axis=1) for score in scores]


def _blocks(n_columns: int) -> Iterator[slice]:
    for start in range(0, n_columns, COLUMNS_PER_BLOCK):
        yield slice(start, start + COLUMNS_PER_BLOCK)
