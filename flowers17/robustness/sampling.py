"""Samples of images to attack and of their targets: drawn by seed, evenly from the classes."""

import numpy as np

from flowers17.seeds import generator


def attacked_rows(labels: np.ndarray, rows: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Sample of at most n of the rows, class by class in turn: int64 (min(n, len(rows)),).

    labels: int (n_images,) of the whole data set; rows: int (k,), the candidates, in any order.
    A smaller sample of the same seed is the start of a larger one.

    >>> attacked_rows(np.array([0, 0, 1, 1, 1]), np.arange(5), 4, seed=1).tolist()
    [1, 4, 0, 2]
    """
    rows = np.unique(np.asarray(rows, np.int64))
    turns = np.empty(len(rows), np.int64)
    for label in np.unique(labels[rows]):
        members = np.flatnonzero(labels[rows] == label)
        turns[members] = generator(seed, "attacked", int(label)).permutation(len(members))
    order = np.lexsort((labels[rows], turns))
    return rows[order[:n]]


def sampled_targets(
    labels: np.ndarray, rows: np.ndarray, n_classes: int, n_targets: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an image and a target class: positions among the rows, and targets, both int64 (m,).

    labels: int (n_images,) of the whole data set; rows: int (k,), the images to attack. Each has
    n_targets targets, or all other classes, in a random order that does not depend on other rows.
    """
    n_each = min(n_targets, n_classes - 1)
    targets = []
    for row in rows:
        candidates = np.delete(np.arange(n_classes), labels[row])
        order = generator(seed, "targets", int(row)).permutation(len(candidates))
        targets.append(candidates[order[:n_each]])
    return np.repeat(np.arange(len(rows)), n_each), np.concatenate(targets).astype(np.int64)
