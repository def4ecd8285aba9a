"""Which images are attacked, and towards which targets: drawn by seed, evenly from the classes."""

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.seeds import generator


def attacked_rows(labels: np.ndarray, rows: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return at most n of the rows, class by class in turn: int64 (min(n, len(rows)),).

    labels: int (n_images,) of the whole data set; rows: int (k,), those that may be drawn.
    Fewer rows of the same seed are the first of more, whatever order they are given in.
    Raises InvalidInput if there is no row, or n < 1.

    >>> attacked_rows(np.array([0, 0, 1, 1, 1]), np.arange(5), 4, seed=1).tolist()
    [1, 4, 0, 2]
    """
    rows = np.unique(np.asarray(rows, np.int64))
    if not len(rows) or n < 1:
        raise InvalidInput(f"rows: expected at least one to attack, got {min(len(rows), n)}")
    turns = np.empty(len(rows), np.int64)
    for label in np.unique(labels[rows]):
        places = np.flatnonzero(labels[rows] == label)
        turns[places] = generator(seed, "attacked", int(label)).permutation(len(places))
    order = np.lexsort((labels[rows], turns))
    return rows[order[:n]]


def drawn_targets(
    labels: np.ndarray, rows: np.ndarray, n_classes: int, n_targets: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of an image and a target: places among the rows and targets, int64 (m,) both.

    labels: int (n_images,) of the whole data set; rows: int (k,), the images attacked. Each has
    n_targets targets or all other classes, in an order of its own, whichever rows are beside it.
    Raises InvalidInput if n_targets < 1 or there is one class.
    """
    if n_targets < 1 or n_classes < 2:
        raise InvalidInput(
            f"targets: expected at least one of another class, got {n_targets} of {n_classes} "
            "classes"
        )
    n_each = min(n_targets, n_classes - 1)
    targets = []
    for row in rows:
        others = np.delete(np.arange(n_classes), labels[row])
        order = generator(seed, "targets", int(row)).permutation(len(others))
        targets.append(others[order[:n_each]])
    return np.repeat(np.arange(len(rows)), n_each), np.concatenate(targets).astype(np.int64)
