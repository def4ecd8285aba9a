"""Meta-learners: classifiers on the probabilities of several base models.

The random forest is the study's: 500 trees, grown until every leaf is of one class. Logistic
regression reads the probabilities as they are: on their logarithms it was no more accurate, and
slower. Gradient boosting is scikit-learn's, small.
"""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from flowers17.ensemble.predictions import check_covered
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.transfer.rowspace import one_thread

C = 1.0


# Called with the random state and the weights of the classes.
META_LEARNERS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {
        "random_forest": partial(RandomForestClassifier, 500, n_jobs=-1),
        "logistic_regression": partial(LogisticRegression, C=C, max_iter=10_000),
        "gradient_boosting": partial(
            HistGradientBoostingClassifier,
            max_iter=30,
            learning_rate=0.1,
            max_leaf_nodes=7,
            min_samples_leaf=5,
        ),
    }
)


def fitted(
    name: str,
    matrix: np.ndarray,
    labels: np.ndarray,
    seed: int,
    class_weight: str | None = None,
) -> Any:
    """Return a meta-learner whose `predict_proba` takes (n, m * c) and gives float64 (n, c).

    matrix: probabilities (n, m * c) of images that the base models did not see. labels: int (n,),
    every class among them. class_weight: `balanced` lets every class count alike.
    Raises InvalidSettings for an unknown name; InvalidInput if an image has no prediction (NaN) or
    a class no image.
    """
    check_name(name)
    check_covered(matrix, f"{name}, to be fitted")
    absent = np.setdiff1d(np.arange(int(labels.max()) + 1), labels)
    if absent.size:
        raise InvalidInput(
            f"{name}: expected images of every class, got none of class number {absent[0]}; lower "
            "ensemble.n_folds or add images"
        )
    with one_thread():  # sums of several threads differ in their last bits
        model = META_LEARNERS[name](random_state=seed, class_weight=class_weight)
        model.fit(matrix, labels)
    if name == "random_forest":
        # Threads would add the trees' votes in the order in which they finish.
        model.set_params(n_jobs=1)
    return model


def check_name(name: str) -> None:
    """Raise InvalidSettings unless it is one of META_LEARNERS."""
    if name not in META_LEARNERS:
        raise InvalidSettings(
            f"meta-learner: expected one of {', '.join(META_LEARNERS)}, got {name!r}"
        )


def probabilities(model: Any, matrix: np.ndarray) -> np.ndarray:
    """Return what a fitted meta-learner says of images: float64 (n, c).

    matrix: probabilities (n, m * c), columns as it was fitted on.
    Raises InvalidInput if an image has no prediction (NaN).
    """
    check_covered(matrix, "meta-learner, asked")
    with one_thread():  # trees are so small that threads wait for each other a hundred times over
        return np.asarray(model.predict_proba(matrix), np.float64)


def cross_validated(
    name: str,
    matrix: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    seed: int,
    class_weight: str | None = None,
) -> np.ndarray:
    """Return what a meta-learner says of each image, fitted on the other folds': float64 (n, c).

    folds: int (n,), of the base models or others; near-duplicates must share one.
    It is what scikit-learn's `cross_val_predict` gives for these folds.
    """
    proba = np.full((len(labels), int(labels.max()) + 1), np.nan)
    for fold in np.unique(folds).tolist():
        held_out = folds == fold
        model = fitted(name, matrix[~held_out], labels[~held_out], seed, class_weight)
        proba[held_out] = probabilities(model, matrix[held_out])
    return proba
