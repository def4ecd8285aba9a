"""Gaussian naive Bayes by matrix products, block by block of columns.

scikit-learn's GaussianNB reads all columns once for each class and needs several times the memory
of the features in double precision. Expanding (x − μ)² / σ² gives three products that need one
block at a time, and the moments serve every smoothing. Centred columns keep the expansion exact
to rounding.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from flowers17.transfer.rowspace import blocks

COLUMNS_PER_BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """Class moments of the training rows, float64.

    prior: logarithms of the classes' shares, (n_classes,). centre: means of all rows, (d,). means,
    variances: of the centred columns by class, (n_classes, d). largest: the largest variance of a
    column over all rows.
    """

    prior: np.ndarray
    centre: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    largest: float


def class_moments(features: np.ndarray, train: np.ndarray, labels: np.ndarray) -> Moments:
    """Moments of the training rows, by their indices among features, float (n, d).

    labels: int (n_train,), 0..n_classes-1, every class present.
    """
    n_images = np.bincount(labels)
    membership = (labels == np.arange(len(n_images))[:, None]) / n_images[:, None]
    centre = np.empty(features.shape[1])
    means, variances = (np.empty((len(n_images), len(centre))) for _ in range(2))
    largest = 0.0
    for block in blocks(len(centre), COLUMNS_PER_BLOCK):
        columns = features[:, block][train]
        centre[block] = columns.mean(axis=0, dtype=np.float64)
        columns = columns - centre[block]
        means[:, block] = membership @ columns
        squares = np.square(columns, out=columns)
        largest = max(largest, float(squares.mean(axis=0).max()))
        variances[:, block] = np.maximum(membership @ squares - means[:, block] ** 2, 0)
    return Moments(np.log(n_images / len(labels)), centre, means, variances, largest)


def naive_bayes_proba(moments: Moments, evaluated: np.ndarray, smoothing: float) -> np.ndarray:
    """Class probabilities: float64 (n_evaluated, n_classes).

    evaluated: float (n_evaluated, d). smoothing: share of the largest column variance that is added
    to every variance. Equals GaussianNB of scikit-learn to about 1e-9.
    """
    score = np.tile(moments.prior, (len(evaluated), 1))
    for block in blocks(evaluated.shape[1], COLUMNS_PER_BLOCK):
        columns = evaluated[:, block] - moments.centre[block]
        of_squares, of_columns, constant = coefficients(moments, smoothing, block)
        score += columns**2 @ of_squares.T + columns @ of_columns.T + constant
    return softmax(score, axis=1)


def coefficients(
    moments: Moments, smoothing: float, block: slice = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of the log-likelihood, a quadratic function of the centred columns.

    Returns those of the squares and of the columns, (n_classes, d) each, and the constant,
    (n_classes,), without the prior. block: the columns that they are for.
    """
    variance = moments.variances[:, block] + smoothing * moments.largest
    mean = moments.means[:, block]
    constant = np.sum(np.log(2 * np.pi * variance) + mean**2 / variance, axis=1)
    return -0.5 / variance, mean / variance, -constant / 2
