"""Probabilities of several base models side by side, one column for each model and class."""

from collections.abc import Mapping, Sequence

import numpy as np

from flowers17.errors import InvalidInput


def side_by_side(
    probas: Mapping[str, np.ndarray], classes: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Return float32 (n, m * c): the probabilities of m models, model by model.

    probas: by model, float (n, c), of the same images. classes: by model, what its columns mean.
    Raises InvalidInput if the models differ in images, in classes or in their order.
    """
    first, *others = probas
    shape, wanted = probas[first].shape, list(classes[first])
    if len(shape) != 2 or shape[1] != len(wanted):
        raise InvalidInput(
            f"{first}: expected probabilities of {len(wanted)} classes, got shape {shape}"
        )
    for name in others:
        if list(classes[name]) != wanted:
            raise InvalidInput(
                f"{name}: expected the classes of {first} in their order ({', '.join(wanted)}), "
                f"got {', '.join(classes[name])}; train both on the same data set"
            )
        if probas[name].shape != shape:
            raise InvalidInput(
                f"{name}: expected probabilities of the same images as {first}, {shape}, got "
                f"{probas[name].shape}"
            )
    return np.concatenate([one.astype(np.float32) for one in probas.values()], axis=1)


def out_of_fold(by_fold: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """Return what each image's own fold's models say of it: float32 (n, m * c).

    by_fold: for each fold, what the models that did not see it say of all images, (n, m * c).
    folds: int (n,), the fold of each image; rows of images in none (-1) are NaN.
    Raises InvalidInput if a fold has no models.
    """
    if folds.max() >= len(by_fold):
        raise InvalidInput(
            f"expected the models of {int(folds.max()) + 1} folds, got those of {len(by_fold)}; "
            "run the same command again"
        )
    found = np.full(by_fold[0].shape, np.nan, np.float32)
    for fold, said in enumerate(by_fold):
        found[folds == fold] = said[folds == fold]
    return found


def averaged_models(by_fold: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """Return the mean over all folds' models for images in no fold, else NaN: (n, m * c)."""
    found = np.full(by_fold[0].shape, np.nan, np.float32)
    found[folds < 0] = np.mean([said[folds < 0] for said in by_fold], axis=0)
    return found


def column_names(members: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return what the columns are called.

    >>> column_names(["mk-2", "mk-3"], ["iris", "daisy"])
    ['mk-2/iris', 'mk-2/daisy', 'mk-3/iris', 'mk-3/daisy']
    """
    return [f"{member}/{one}" for member in members for one in classes]
