"""Three ways to fit a meta-learner: the study's biased one, a hold-out, and out of fold.

They differ in whose predictions the meta-learner is fitted on. The biased way takes the refits'
of their own training images, which look better than any new image ever will.
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
class Way:
    """What a meta-learner is fitted on, and what it is then given of the validation images.

    matrix: (n_fitted, m * c). labels, folds: int (n_fitted,). validation: (n_validation, m * c).
    """

    name: str
    matrix: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Stacking:
    """A meta-learner fitted one way.

    cross_validated: float64 (n_fitted, c), what it says of the images that it is fitted on, each
    held out from the fit; apparent: how many of them are right, all that one would know without a
    validation part. honest: how many validation images are.
    """

    way: str
    meta_learner: str
    model: Any
    cross_validated: np.ndarray
    apparent: int
    n_fitted: int
    honest: int
    n_honest: int


class Ways(NamedTuple):
    """The ways there are. no_hold_out: why the hold-out is not among them, empty if it is."""

    found: tuple[Way, ...]
    no_hold_out: str


def ways(predictions: Predictions, *, seed: int) -> Ways:
    """Return the three ways, or the two others where the first fold cannot be divided.

    The folds of the hold-out are divided again by a derived seed.
    """
    p, train = predictions, predictions.train
    labels, folds = p.labels[train], p.folds_of_train
    biased = Way("biased", p.refit[train], labels, folds, p.refit[p.validation])
    unseen = Way("out-of-fold", p.out_of_fold[train], labels, folds, p.average[p.validation])
    rows = np.flatnonzero(p.folds == 0)
    try:
        parts = sub_folds(
            p.labels[rows],
            p.groups[rows],
            seed=derived_seed(seed, "hold-out", "folds"),
            classes=p.classes,
        )
    except InvalidInput as problem:
        return Ways((biased, unseen), str(problem))
    asked = p.first_fold[p.validation]
    hold_out = Way("hold-out", p.first_fold[rows], p.labels[rows], parts, asked)
    return Ways((biased, hold_out, unseen), "")


def stackings(
    predictions: Predictions,
    given: Sequence[Way],
    meta_learners: Sequence[str],
    *,
    seed: int,
    told: Callable[[], None] | None = None,
) -> list[Stacking]:
    """Return every meta-learner fitted in each of the given ways.

    One seed serves all ways, so that they differ by what they are fitted on alone.
    told: called after each of them.
    """
    truth = predictions.labels[predictions.validation]
    found = []
    for way in given:
        for name in meta_learners:
            held_out = cross_validated(name, way.matrix, way.labels, way.folds, seed)
            model = fitted(name, way.matrix, way.labels, seed)
            found.append(
                Stacking(
                    way=way.name,
                    meta_learner=name,
                    model=model,
                    cross_validated=held_out,
                    apparent=n_correct(held_out, way.labels),
                    n_fitted=len(way.labels),
                    honest=n_correct(probabilities(model, way.validation), truth),
                    n_honest=len(truth),
                )
            )
            if told:
                told()
    return found


def sub_folds(
    labels: np.ndarray, groups: np.ndarray, *, seed: int, classes: Sequence[str]
) -> np.ndarray:
    """Return a fold for each image of the hold-out: int64 (n,), near-duplicates together.

    As many folds as the smallest class has images (near-duplicates count once), 5 at most; fewer
    where a class would be in one of them alone.
    Raises InvalidInput if not even two folds do.
    """
    n_groups = [len(np.unique(groups[labels == label])) for label in range(len(classes))]
    for n_folds in range(min(MAX_SUB_FOLDS, *n_groups), 1, -1):
        found = np.full(len(labels), -1, np.int64)
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(folds.split(labels, labels, groups)):
            found[held_out] = fold
        if all(len(np.unique(labels[found != fold])) == len(classes) for fold in range(n_folds)):
            return found
    smallest = int(np.argmin(n_groups))
    raise InvalidInput(
        "expected to divide the first fold so that every class is in two parts, got "
        f"{n_groups[smallest]} of class {classes[smallest]} there, near-duplicates counted once; "
        "lower ensemble.n_folds or add images"
    )


def n_correct(proba: np.ndarray, labels: np.ndarray) -> int:
    """Return how many rows have their highest probability at their label."""
    return int(np.count_nonzero(proba.argmax(axis=1) == labels))
