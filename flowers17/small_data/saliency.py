"""Saliency by occlusion: how much of a prediction goes when a part of the image is covered.

Source: Zeiler & Fergus 2014, arXiv:1311.2901. It needs nothing but predictions, so that it serves
networks and, through the extractor, classifiers on features. It asks the trained weights: with
weights shuffled the map must change (Adebayo et al. 2018, arXiv:1810.03292).
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr

Probabilities = Callable[[np.ndarray], np.ndarray]  # of images uint8 (n, s, s, 3): float (n, c)
N_CELLS = 8


def occlusion_map(
    proba_of: Probabilities, image: np.ndarray, label: int, n_cells: int = N_CELLS
) -> np.ndarray:
    """Fall of the logarithm of a class's probability where each cell is covered: (k, k).

    image: uint8 (s, s, 3); cells: a grid of n_cells × n_cells, each covered with the mean colour.
    """
    edges = np.linspace(0, len(image), n_cells + 1).astype(int)
    colour = image.mean(axis=(0, 1)).astype(image.dtype)
    covered = np.repeat(image[None], n_cells**2 + 1, axis=0)
    for cell in range(n_cells**2):
        row, column = divmod(cell, n_cells)
        covered[cell + 1, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = colour
    logs = np.log(np.maximum(proba_of(covered)[:, label], 1e-12))
    return np.asarray(logs[0] - logs[1:]).reshape(n_cells, n_cells)


def border_share(saliency: np.ndarray) -> float:
    """Share of the positive saliency in the outermost cells of a map (k, k) that has some."""
    positive = np.maximum(saliency, 0)
    return float(1 - positive[1:-1, 1:-1].sum() / positive.sum())


def map_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two saliency maps; 0 if one is the same everywhere."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first.ravel(), second.ravel()).statistic)
