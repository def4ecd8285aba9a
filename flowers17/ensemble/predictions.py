"""What an ensemble is judged by: its members' probabilities, and which images saw what."""

from dataclasses import dataclass, field

import numpy as np

from flowers17.errors import InvalidInput


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
        if len(self.members) < 2:
            raise InvalidInput(
                f"ensemble: expected at least two base models, got {', '.join(self.members)}; add "
                "one to ensemble.ensembles"
            )
        if len(set(self.members)) < len(self.members):
            raise InvalidInput(
                f"ensemble: expected different base models, got {', '.join(self.members)}; "
                "leave out what is there twice"
            )
        shape = (len(self.labels), len(self.members) * len(self.classes))
        for name in ("out_of_fold", "average", "refit", "first_fold"):
            matrix = getattr(self, name)
            if matrix.shape != shape:
                raise InvalidInput(
                    f"{name}: expected probabilities of {len(self.members)} models and "
                    f"{len(self.classes)} classes for {shape[0]} images, {shape}, got "
                    f"{matrix.shape}"
                )
        self._check_folds()
        parts = {
            "out_of_fold": self.train,
            "average": self.validation,
            "refit": np.concatenate([self.train, self.validation]),
            "first_fold": np.concatenate([np.flatnonzero(self.folds == 0), self.validation]),
        }
        for name, rows in parts.items():
            check_covered(getattr(self, name)[rows], name)

    def _check_folds(self) -> None:
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
