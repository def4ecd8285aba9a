"""Three stacking schemes: whose predictions a meta-learner is fitted on.

`biased`, the study's: the refits' predictions of their own training images, which look better than
those of any new image. `hold-out`: the first fold's. `out-of-fold`: each image's by models that
were not trained on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from flowers17.ensemble.meta_learners import cross_validated, fitted, probabilities
from flowers17.ensemble.predictions import Predictions
from flowers17.errors import InvalidInput
from flowers17.seeds import derived_seed

MAX_SUB_FOLDS = 5


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


class Schemes(NamedTuple):
    """The schemes that the images allow; no_hold_out: why the hold-out is not one, else empty."""

    available: tuple[Scheme, ...]
    no_hold_out: str


def schemes(predictions: Predictions, *, seed: int) -> Schemes:
    """Three stacking schemes, or two where the first fold cannot be divided for a hold-out.

    The folds of the hold-out are divided again by a derived seed.
    """
    p, train = predictions, predictions.train
    labels, folds = p.labels[train], p.folds_of_train
    biased = Scheme("biased", p.refit[train], labels, folds, p.refit[p.validation])
    out_of_fold = Scheme(
        "out-of-fold", p.out_of_fold[train], labels, folds, p.average[p.validation]
    )
    rows = np.flatnonzero(p.folds == 0)
    try:
        folds_of_hold_out = sub_folds(
            p.labels[rows],
            p.groups[rows],
            seed=derived_seed(seed, "hold-out", "folds"),
            classes=p.classes,
        )
    except InvalidInput as problem:
        return Schemes((biased, out_of_fold), str(problem))
    hold_out = Scheme(
        "hold-out",
        p.first_fold[rows],
        p.labels[rows],
        folds_of_hold_out,
        p.first_fold[p.validation],
    )
    return Schemes((biased, hold_out, out_of_fold), "")


def stackings(
    predictions: Predictions,
    schemes: Sequence[Scheme],
    meta_learners: Sequence[str],
    *,
    seed: int,
    class_weight: str | None = None,
    on_fitted: Callable[[], None] | None = None,
) -> list[Stacking]:
    """Every meta-learner fitted under each scheme.

    One seed serves all schemes, so that they differ by what they are fitted on alone.
    class_weight: see `meta_learners.fitted`. on_fitted: called after each stacking.
    """
    truth = predictions.labels[predictions.validation]
    stackings = []
    for scheme in schemes:
        for name in meta_learners:
            data, folds = (scheme.features, scheme.labels), scheme.folds
            held_out = cross_validated(name, *data, folds, seed, class_weight)
            model = fitted(name, *data, seed, class_weight)
            stackings.append(
                Stacking(
                    scheme=scheme.name,
                    meta_learner=name,
                    model=model,
                    cross_validated=held_out,
                    n_apparent=n_correct(held_out, scheme.labels),
                    n_fitted=len(scheme.labels),
                    n_correct=n_correct(probabilities(model, scheme.validation), truth),
                    n_validation=len(truth),
                )
            )
            if on_fitted:
                on_fitted()
    return stackings


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
