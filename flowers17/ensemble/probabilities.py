"""Probabilities of several base models side by side, one column for each model and class."""

from collections.abc import Mapping, Sequence

import numpy as np

from flowers17.errors import InvalidInput


def side_by_side(
    probas: Mapping[str, np.ndarray], classes: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Probabilities of m models side by side: float32 (n, m * c), model by model.

    probas: by model, float (n, c), of the same images. classes: by model, what its columns mean.
    Raises InvalidInput if the models differ in images, in classes or in their order.
    """
    first, *rest = probas
    shape, class_names = probas[first].shape, list(classes[first])
    if len(shape) != 2 or shape[1] != len(class_names):
        raise InvalidInput(
            f"{first}: expected probabilities of {len(class_names)} classes, got shape {shape}"
        )
    for name in rest:
        if list(classes[name]) != class_names:
            raise InvalidInput(
                f"{name}: expected the classes of {first} in their order "
                f"({', '.join(class_names)}), "
                f"got {', '.join(classes[name])}; train both on the same data set"
            )
        if probas[name].shape != shape:
            raise InvalidInput(
                f"{name}: expected probabilities of the same images as {first}, {shape}, got "
                f"{probas[name].shape}"
            )
    return np.concatenate([proba.astype(np.float32) for proba in probas.values()], axis=1)


def out_of_fold(by_fold: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities, each image's by the models of its own fold: float32 (n, m * c).

    Those models were trained without the fold.
    by_fold: for each fold, its models' probabilities of all images, (n, m * c).
    folds: int (n,), the fold of each image; rows of images in none (-1) are NaN.
    Raises InvalidInput if a fold has no models.
    """
    if folds.max() >= len(by_fold):
        raise InvalidInput(
            f"expected the models of {int(folds.max()) + 1} folds, got those of {len(by_fold)}; "
            "run the same command again"
        )
    rows = np.full(by_fold[0].shape, np.nan, np.float32)
    for fold, proba in enumerate(by_fold):
        rows[folds == fold] = proba[folds == fold]
    return rows


def averaged_models(by_fold: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """Mean over all folds' models for images in no fold, else NaN: (n, m * c)."""
    rows = np.full(by_fold[0].shape, np.nan, np.float32)
    rows[folds < 0] = np.mean([proba[folds < 0] for proba in by_fold], axis=0)
    return rows


def column_names(members: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Names of the columns.

    >>> column_names(["mk-2", "mk-3"], ["iris", "daisy"])
    ['mk-2/iris', 'mk-2/daisy', 'mk-3/iris', 'mk-3/daisy']
    """
    return [f"{member}/{name}" for member in members for name in classes]
