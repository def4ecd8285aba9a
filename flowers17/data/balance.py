"""Whether the classes of a data set are of like size, which decides the measure that stands first.

Balanced are data whose largest class has at most 1.5 times the images of the smallest. There
accuracy stands first: it chooses what is best and ranks models. Elsewhere balanced accuracy does,
the mean of the classes' recalls: where 95 % of all images are of one class, naming it for every
image has an accuracy of 0.95, and a balanced accuracy of 0.5.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_RATIO = 1.5
ByClass = Sequence[Sequence[int]]


def is_balanced(labels: np.ndarray) -> bool:
    """Whether the largest class has at most 1.5 times the images of the smallest.

    labels: int (n,), of a whole data set.

    >>> is_balanced(np.repeat([0, 1], [3, 2])), is_balanced(np.repeat([0, 1], [4, 2]))
    (True, False)
    """
    counts = np.bincount(labels)
    return bool(counts.max(initial=0) <= MAX_RATIO * counts[counts > 0].min(initial=len(labels)))


def counts_by_class(
    labels: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> list[list[int]] | None:
    """Images predicted correctly and images, by class; None where accuracy stands first.

    labels: of the whole data set. truth, predicted: int (n,), of the images that are counted.
    """
    if is_balanced(labels):
        return None
    n_classes = int(labels.max()) + 1
    n_correct, n_images = (
        np.bincount(of_class, minlength=n_classes)
        for of_class in (truth[truth == predicted], truth)
    )
    counts: list[list[int]] = np.column_stack([n_correct, n_images]).tolist()
    return counts


def test_score(labels: np.ndarray, rows: np.ndarray, proba: np.ndarray) -> dict[str, Any] | None:
    """Images of a test part, and how many are classified correctly, ready for JSON.

    labels: of the whole data set. rows: of the test part; None is given where there are none.
    proba: theirs, float (n, n_classes). by_class: see `counts_by_class`.
    """
    if not len(rows):
        return None
    truth, predicted = labels[rows], proba.argmax(axis=1)
    n_correct, by_class = int((predicted == truth).sum()), counts_by_class(labels, truth, predicted)
    return {"n": len(rows), "n_correct": n_correct, "by_class": by_class}


def first_measure(n_correct: int, n: int, by_class: ByClass | None) -> float:
    """Accuracy, or balanced accuracy where there are counts by class.

    >>> first_measure(19, 20, None), first_measure(19, 20, [[19, 19], [0, 1], [0, 0]])
    (0.95, 0.5)
    """
    if not by_class:
        return n_correct / n
    return float(np.mean([n_correct / n for n_correct, n in by_class if n]))
