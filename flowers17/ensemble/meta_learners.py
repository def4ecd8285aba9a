"""Meta-learners: classifiers on base models' probabilities, and three schemes of fitting them.

The random forest is the study's: 500 trees, grown until every leaf is of one class. Logistic
regression reads the probabilities as they are: on their logarithms it was no more accurate, and
slower. Gradient boosting is scikit-learn's, small.

A scheme says whose predictions a meta-learner is fitted on. `biased`, the study's: the refits'
predictions of their own training images, which look better than those of any new image.
`hold-out`: the first fold's. `out-of-fold`: each image's by models that were not trained on it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from flowers17.ensemble.predictions import Predictions, check_covered
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.seeds import derived_seed
from flowers17.transfer.rowspace import one_thread

MAX_SUB_FOLDS = 5
# Called with the random state and the weights of the classes.
META_LEARNERS: Mapping[str, Callable[..., Any]] = {
    "random_forest": partial(RandomForestClassifier, 500, n_jobs=-1),
    "logistic_regression": partial(LogisticRegression, C=1.0, max_iter=10_000),
    "gradient_boosting": partial(
        HistGradientBoostingClassifier,
        max_iter=30,
        learning_rate=0.1,
        max_leaf_nodes=7,
        min_samples_leaf=5,
    ),
}


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
    if name not in META_LEARNERS:
        raise InvalidSettings(
            f"meta-learner: expected one of {', '.join(META_LEARNERS)}, got {name!r}"
        )
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


@dataclass(frozen=True)
class Scheme:
    """A stacking scheme's data: what a meta-learner is fitted on, and what it is validated on.

    features: (n_fitted, m * c), probabilities of m members. labels, folds: int (n_fitted,).
    validation: (n_validation, m * c).
    """

    name: str
    features: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Stacking:
    """A meta-learner fitted under one scheme.

    Apparent accuracy is measured on the images that the scheme fits on, by cross-validation: all
    that is known without a validation part. Its excess over the accuracy on held-out images is its
    optimism.
    cross_validated: float64 (n_fitted, c), each row predicted without that image. n_apparent: how
    many of the n_fitted images are right so; n_correct: how many of the n_validation ones.
    """

    scheme: str
    meta_learner: str
    model: Any
    cross_validated: np.ndarray
    n_apparent: int
    n_fitted: int
    n_correct: int
    n_validation: int

    @property
    def counts(self) -> dict[str, Any]:
        """Names of scheme and meta-learner, and the counts, ready for JSON."""
        arrays = ("model", "cross_validated")
        return {name: value for name, value in vars(self).items() if name not in arrays}


def schemes(predictions: Predictions, *, seed: int) -> tuple[list[Scheme], str]:
    """Three stacking schemes; two and the reason where the first fold cannot be divided again.

    The folds of the hold-out are divided by a derived seed.
    """
    p, train = predictions, predictions.train
    labels, folds = p.labels[train], p.folds_of_train
    biased = Scheme("biased", p.refit[train], labels, folds, p.refit[p.validation])
    out_of_fold = Scheme(
        "out-of-fold", p.out_of_fold[train], labels, folds, p.average[p.validation]
    )
    rows, proba = np.flatnonzero(p.folds == 0), p.first_fold
    own_labels, own_seed = p.labels[rows], derived_seed(seed, "hold-out", "folds")
    try:
        own_folds = sub_folds(own_labels, p.groups[rows], seed=own_seed, classes=p.classes)
    except InvalidInput as problem:
        return [biased, out_of_fold], str(problem)
    hold_out = Scheme("hold-out", proba[rows], own_labels, own_folds, proba[p.validation])
    return [biased, hold_out, out_of_fold], ""


def stackings(
    predictions: Predictions,
    schemes: Sequence[Scheme],
    meta_learners: Sequence[str],
    seed: int,
    class_weight: str | None = None,
) -> Iterator[Stacking]:
    """Yield every meta-learner fitted under each scheme.

    One seed serves all schemes, so that they differ by what they are fitted on alone.
    class_weight: see `meta_learners.fitted`.
    """
    truth = predictions.labels[predictions.validation]
    for scheme in schemes:
        for name in meta_learners:
            data, folds = (scheme.features, scheme.labels), scheme.folds
            held_out = cross_validated(name, *data, folds, seed, class_weight)
            model = fitted(name, *data, seed, class_weight)
            yield Stacking(
                scheme=scheme.name,
                meta_learner=name,
                model=model,
                cross_validated=held_out,
                n_apparent=n_correct(held_out, scheme.labels),
                n_fitted=len(scheme.labels),
                n_correct=n_correct(probabilities(model, scheme.validation), truth),
                n_validation=len(truth),
            )


def sub_folds(
    labels: np.ndarray, groups: np.ndarray, *, seed: int, classes: Sequence[str]
) -> np.ndarray:
    """Fold of each image of the hold-out: int64 (n,), near-duplicates together.

    As many folds as the smallest class has images (near-duplicates count once), 5 at most; fewer
    where a class would be in one of them alone.
    Raises InvalidInput if not even two folds do.
    """
    n_groups = [len(np.unique(groups[labels == label])) for label in range(len(classes))]
    for n_folds in range(min(MAX_SUB_FOLDS, *n_groups), 1, -1):
        fold_of_image = np.full(len(labels), -1, np.int64)
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            fold_of_image[held_out] = fold
        if all(
            len(np.unique(labels[fold_of_image != fold])) == len(classes) for fold in range(n_folds)
        ):
            return fold_of_image
    smallest = int(np.argmin(n_groups))
    raise InvalidInput(
        "expected to divide the first fold so that every class is in two parts, got "
        f"{n_groups[smallest]} of class {classes[smallest]} there, near-duplicates counted once; "
        "lower ensemble.n_folds or add images"
    )


def n_correct(proba: np.ndarray, labels: np.ndarray) -> int:
    """Number of rows whose highest probability is at their label."""
    return int(np.count_nonzero(proba.argmax(axis=1) == labels))
