"""Folds of a split's training images: the same for every learner, near-duplicates together.

They are scikit-learn's `StratifiedGroupKFold`, shuffled by a derived seed. A fold's images are
predicted by models that saw none of them; which epoch such a model keeps is chosen on a part cut
from its own training images.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from flowers17.data.splits import class_title, clean_split
from flowers17.digests import sha256_of
from flowers17.errors import InvalidInput
from flowers17.seeds import derived_seed


def stratified_folds(
    labels: np.ndarray,
    groups: np.ndarray,
    rows: np.ndarray,
    *,
    n_folds: int,
    seed: int,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the fold of each image: int64 (n,), 0..n_folds-1 for `rows`, -1 elsewhere.

    labels, groups: int (n,), of all images; images of one group share a fold. rows: int, those
    that are divided.
    Raises InvalidInput if a class is missing from a fold or from what is left without it.
    """
    if n_folds < 2:
        raise InvalidInput(f"n_folds: expected at least 2, got {n_folds}")
    if labels.shape != groups.shape or labels.ndim != 1:
        raise InvalidInput(
            f"expected a label and a group for each image, got {labels.shape} and {groups.shape}"
        )
    n_images = np.bincount(labels[rows], minlength=int(labels.max()) + 1)
    for label, n in enumerate(n_images.tolist()):
        if n < n_folds:
            raise InvalidInput(
                f"class {class_title(label, class_names)}: expected at least {n_folds} training "
                f"images, one for each fold, got {n}; lower ensemble.n_folds or add images"
            )
    fold_of_image = np.full(len(labels), -1, np.int64)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(folds.split(rows, labels[rows], groups[rows])):
        fold_of_image[rows[held_out]] = fold
    for fold in range(n_folds):
        absent = np.setdiff1d(np.unique(labels), labels[fold_of_image == fold])
        if absent.size:
            raise InvalidInput(
                f"fold {fold + 1} of {n_folds}: expected every class, got no image of class "
                f"{class_title(int(absent[0]), class_names)}, whose near-duplicates stay together; "
                "lower ensemble.n_folds, add images, or, if its images only look alike, set "
                "splits.near_duplicates to identical or none"
            )
    return fold_of_image


def fold_rows(
    labels: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    fold: int,
    *,
    choosing_fraction: float,
    seed: int,
    class_names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Rows of one fold, counted from 0, whose model trains, chooses its epoch and is held out.

    folds: as `stratified_folds` returns them. choosing_fraction: share of each class of the fold's
    training images that the epoch is chosen on, whole groups of near-duplicates.
    Returns `train`, `choosing` and `held_out`: int64, sorted, disjoint; together all divided rows.
    Raises InvalidInput if a class cannot be in both parts.
    """
    held_out = np.flatnonzero(folds == fold)
    remaining = np.flatnonzero((folds >= 0) & (folds != fold))
    try:
        cut = clean_split(
            labels[remaining],
            groups[remaining],
            validation_fraction=choosing_fraction,
            seed=derived_seed(seed, "fold", fold + 1, "choosing"),
            class_names=class_names,
        )
    except InvalidInput as problem:
        raise InvalidInput(
            f"fold {fold + 1} of {int(folds.max()) + 1}: expected to cut a part from its training "
            f"images to choose the epoch on, got: {problem}; or raise ensemble.n_folds, so that a "
            "fold trains on more"
        ) from problem
    return {
        "train": remaining[cut.train],
        "choosing": remaining[cut.validation],
        "held_out": held_out,
    }


def fingerprint(folds: np.ndarray, labels: np.ndarray) -> str:
    """Return the SHA-256 of a division into folds and the labels it was made by."""
    return sha256_of([folds.tolist(), labels.tolist()])
