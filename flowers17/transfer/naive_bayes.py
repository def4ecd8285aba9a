"""Gaussian naive Bayes by matrix products, block by block of columns.

scikit-learn's GaussianNB walks all columns once a class, in double precision several times the
size of the features. Expanding (x − μ)² / σ² makes it three products that need one block at a
time, and the moments serve every value of the smoothing. Columns are centred first, so that the
expansion loses nothing that shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

COLUMNS_PER_BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """What is known of the training rows' columns, float64.

    prior: logarithms of the classes' shares, (n_classes,). centre: means of all rows, (d,). means,
    variances: by class, (n_classes, d), of what is left of the columns without the centre.
    largest: of the columns' variances.
    """

    prior: np.ndarray
    centre: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    largest: float


def moments(train: np.ndarray, labels: np.ndarray) -> Moments:
    """Return the moments of float (n, d) rows; labels: int (n,), 0..n_classes-1, each there."""
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
    return Moments(np.log(n_images / len(labels)), centre, means, variances, largest)


def naive_bayes_probas(
    known: Moments, evaluated: np.ndarray, smoothings: Sequence[float]
) -> list[np.ndarray]:
    """Return, for each smoothing, class probabilities: float64 (n_evaluated, n_classes).

    evaluated: float (m, d). smoothings: shares of the largest column variance that are added to
    every variance.
    Source: what GaussianNB of scikit-learn computes, to about 1e-9.
    """
    scores = [np.tile(known.prior, (len(evaluated), 1)) for _ in smoothings]
    for block in _blocks(evaluated.shape[1]):
        columns = evaluated[:, block] - known.centre[block]
        squares = columns**2
        for score, smoothing in zip(scores, smoothings, strict=True):
            of_squares, of_columns, constant = coefficients(known, smoothing, block)
            score += squares @ of_squares.T + columns @ of_columns.T + constant
    return [softmax(score, axis=1) for score in scores]


def coefficients(
    known: Moments, smoothing: float, block: slice = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a class's score has of columns without their centre, beside its prior.

    That is, of their squares and of themselves, (n_classes, d) each, and a constant, (n_classes,).
    block: of columns, whose part of the sums it is.
    """
    variance, mean = known.variances[:, block] + smoothing * known.largest, known.means[:, block]
    constant = np.sum(np.log(2 * np.pi * variance) + mean**2 / variance, axis=1)
    return -0.5 / variance, mean / variance, -constant / 2


def _blocks(n_columns: int) -> Iterator[slice]:
    for start in range(0, n_columns, COLUMNS_PER_BLOCK):
        yield slice(start, start + COLUMNS_PER_BLOCK)
