"""Predictions of an ensemble's members: side by side, out of fold, averaged, and what they saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flowers17.errors import InvalidInput

TOLERANCE = 1e-9
MAX_ITERATIONS = 100_000
SMALLEST = 1e-12


@dataclass(frozen=True)
class Predictions:
    """Probabilities of m members for n images of c classes, member by member: float (n, m * c).

    out_of_fold: by the models of the image's own fold; NaN outside the training images. average: by
    the mean of all folds' models; NaN for training images. refit: by models trained on all training
    images, their own included. first_fold: by the models that did not see fold 0.
    folds: int (n,), -1 outside the training images. groups: int (n,), of near-duplicates. labels:
    int (n,). validation, test: rows that decided nothing.
    Raises InvalidInput if they don't belong together, or a training image has no prediction.
    """

    out_of_fold: np.ndarray
    average: np.ndarray
    refit: np.ndarray
    first_fold: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    validation: np.ndarray
    members: tuple[str, ...]
    classes: tuple[str, ...]
    test: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        shape = (len(self.labels), len(self.members) * len(self.classes))
        for name in ("out_of_fold", "average", "refit", "first_fold"):
            matrix = getattr(self, name)
            if matrix.shape != shape:
                raise InvalidInput(
                    f"{name}: expected probabilities of {len(self.members)} models and "
                    f"{len(self.classes)} classes for {shape[0]} images, {shape}, got "
                    f"{matrix.shape}"
                )
        numbers = np.unique(self.folds[self.train])
        if len(numbers) < 2 or numbers.tolist() != list(range(len(numbers))):
            raise InvalidInput(
                f"folds: expected two or more, numbered from 0, got {numbers.tolist()}"
            )
        if not len(self.validation) or (self.folds[self.validation] >= 0).any():
            raise InvalidInput(
                "validation: expected images that are in no fold, at least one, got "
                f"{len(self.validation)}, {int((self.folds[self.validation] >= 0).sum())} of them "
                "in a fold"
            )
        for fold in numbers.tolist():
            absent = np.setdiff1d(
                np.arange(len(self.classes)), self.labels[self.train][self.folds_of_train != fold]
            )
            if absent.size:
                raise InvalidInput(
                    f"fold {fold + 1}: expected every class outside it, got no image of class "
                    f"{self.classes[absent[0]]}; lower ensemble.n_folds or add images"
                )
        parts = {
            "out_of_fold": self.train,
            "average": self.validation,
            "refit": np.concatenate([self.train, self.validation]),
            "first_fold": np.concatenate([np.flatnonzero(self.folds == 0), self.validation]),
        }
        for name, rows in parts.items():
            check_covered(getattr(self, name)[rows], name)

    @property
    def train(self) -> np.ndarray:
        """The rows that are in a fold, int64."""
        return np.flatnonzero(self.folds >= 0)

    @property
    def folds_of_train(self) -> np.ndarray:
        """The fold of each of them."""
        return self.folds[self.train]

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return int(self.folds.max()) + 1

    def by_member(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probabilities of a matrix member by member: (m, n, c)."""
        shaped = matrix.reshape(len(matrix), len(self.members), len(self.classes))
        return np.moveaxis(shaped, 1, 0)

    def columns_of(self, member: str) -> slice:
        """Return a member's columns."""
        n_classes, place = len(self.classes), self.members.index(member)
        return slice(place * n_classes, (place + 1) * n_classes)


def check_covered(matrix: np.ndarray, name: str) -> None:
    """Raise InvalidInput if a row has no prediction (NaN)."""
    bare = ~np.isfinite(matrix).all(axis=1)
    if bare.any():
        raise InvalidInput(
            f"{name}: expected a prediction for every image, got none for {int(bare.sum())} of "
            f"{len(matrix)} (NaN): no fold covered them; build the missing folds first"
        )


def side_by_side(
    probas: Mapping[str, np.ndarray], classes: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Probabilities of m models side by side: float32 (n, m * c), model by model.

    probas: by model, float (n, c), of the same images. classes: by model, what its columns mean.
    Raises InvalidInput if the models differ in classes or in their order.
    """
    first, *rest = probas
    class_names = list(classes[first])
    for name in rest:
        if list(classes[name]) != class_names:
            raise InvalidInput(
                f"{name}: expected the classes of {first} in their order "
                f"({', '.join(class_names)}), "
                f"got {', '.join(classes[name])}; train both on the same data set"
            )
    return np.concatenate([proba.astype(np.float32) for proba in probas.values()], axis=1)


def out_of_fold(by_fold: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities, each image's by the models of its own fold: float32 (n, m * c).

    Those models were trained without the fold.
    by_fold: for each fold, its models' probabilities of all images, (n, m * c).
    folds: int (n,), the fold of each image; rows of images in none (-1) are NaN.
    """
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


def averaged(probas: np.ndarray) -> np.ndarray:
    """Return the mean over models: (m, n, c) → (n, c). The study calls it bagging."""
    return np.asarray(probas, np.float64).mean(axis=0)


def best_weights(probas: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weights, float64 (m,), whose weighted average has the least mean cross-entropy.

    probas: (m, n, c), for images that the models did not see. labels: int (n,). Weights are not
    negative and sum to one. The problem is convex; expectation-maximisation for the weights of a
    mixture climbs to its one solution, until a step gains less than 1e-9 per image.
    Source: Dempster, Laird and Rubin 1977, section 4.3.
    """
    if probas.ndim != 3 or probas.shape[1] != len(labels) or not len(labels):
        raise InvalidInput(
            f"expected probabilities (models, {len(labels)}, classes), got {probas.shape}"
        )
    of_truth = np.asarray(probas, np.float64)[:, np.arange(len(labels)), labels]
    of_truth = np.maximum(of_truth, SMALLEST)
    weights = np.full(len(probas), 1.0 / len(probas))
    before = np.log(weights @ of_truth).mean()
    for _ in range(MAX_ITERATIONS):
        weights = weights * (of_truth / (weights @ of_truth)).mean(axis=1)
        now = np.log(weights @ of_truth).mean()
        if now - before < TOLERANCE:
            break
        before = now
    return weights / weights.sum()


def weighted(probas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted average: (m, n, c) and (m,) → (n, c)."""
    return np.tensordot(weights, np.asarray(probas, np.float64), axes=1)
