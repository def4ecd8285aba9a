"""What the artifacts of an ensemble hold: members, folds, and what was made of them on a split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.reporting.records import Score

By = Literal["refit", "average"]


@dataclass(frozen=True)
class Member:
    """One base model: what it is made of, and how long it was trained.

    epochs: kept by the models of the folds; None, as the others, for what is no network.
    """

    name: str
    epochs: tuple[int, ...] | None
    refit_epochs: int | None
    n_operations: float | None
    n_parameters: int | None


@dataclass(frozen=True)
class Outcome:
    """How many images one way of predicting gets right.

    refit, average: of the validation images, by the models refitted on all training images and by
    the mean of the folds' models. out_of_fold: of the training images.
    """

    name: str
    refit: int
    average: int
    out_of_fold: int


@dataclass(frozen=True)
class Calibration:
    """A method's probabilities of the validation images, before and after temperature scaling."""

    method: str
    by: By
    temperature: float
    log_loss: float
    error: float
    calibrated_log_loss: float
    calibrated_error: float


@dataclass(frozen=True)
class WayOfStacking:
    """One meta-learner, fitted one way.

    way: `biased`, `hold-out` or `out-of-fold`. apparent: correct of the n_apparent images that it
    is fitted on, cross-validated; honest: of the n_honest validation images.
    """

    way: str
    meta_learner: str
    n_fitted: int
    apparent: int
    n_apparent: int
    honest: int
    n_honest: int

    @property
    def gap(self) -> float:
        """By how much the apparent accuracy exceeds the honest one."""
        return self.apparent / self.n_apparent - self.honest / self.n_honest


@dataclass(frozen=True)
class Ensemble:
    """One ensemble on one split: its members' predictions, and what was made of them if anything.

    folds: of the stage `out_of_fold`; stacked: of the stage `stacking`.
    """

    folds: Artifact
    stacked: Artifact | None

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """Members, classes, columns and folds."""
        return dict(self.folds.json("members"))

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """What was made of the members; empty if nothing was."""
        return dict(self.stacked.json("result")) if self.stacked else {}

    @property
    def name(self) -> str:
        """The ensemble's name."""
        return str(self.described["ensemble"])

    @property
    def split(self) -> str:
        """The split's name."""
        return str(self.described["split"])

    @property
    def kind(self) -> str:
        """The split's kind: report, clean, repeated or official."""
        return str(self.described["kind"])

    @property
    def n_folds(self) -> int:
        """Folds of the training images."""
        return int(self.described["n_folds"])

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of their labels."""
        return list(self.described["classes"])

    @cached_property
    def members(self) -> list[Member]:
        """The base models, in the order of their columns."""
        return [
            Member(
                one["name"],
                None if one["epochs"] is None else tuple(one["epochs"]),
                one["refit_epochs"],
                one["n_operations"],
                one["n_parameters"],
            )
            for one in self.described["members"]
        ]

    @cached_property
    def rows(self) -> np.ndarray:
        """The validation images, int64 (n_validation,)."""
        return self.folds.array("validation")

    @cached_property
    def truth(self) -> np.ndarray:
        """Labels of the validation images, int64 (n_validation,)."""
        return self.folds.array("labels")[self.rows]

    @cached_property
    def n_train(self) -> int:
        """Training images."""
        return int(np.sum(self.folds.array("folds") >= 0))

    def score(self, n_correct: int) -> Score:
        """Return the score of that many validation images classified correctly."""
        return Score(self.split, self.kind, self.n_train, len(self.rows), n_correct, {})

    def member_predicted(self, name: str, by: By) -> np.ndarray:
        """Return a member's classes of the validation images, int64 (n_validation,)."""
        place = [one.name for one in self.members].index(name)
        c = len(self.classes)
        columns = self.folds.array(by)[self.rows, place * c : (place + 1) * c]
        return columns.argmax(axis=1)

    def proba(self, method: str, by: By) -> np.ndarray:
        """Return a method's uncalibrated probabilities, float64 (n_validation, n_classes)."""
        if not self.stacked:
            raise InvalidInput(f"expected {self.name} to be stacked on split {self.split!r}")
        return self.stacked.array(f"{method}-{by}-proba")

    @cached_property
    def learners(self) -> list[Outcome]:
        """How well each member does alone; empty if nothing was made of them."""
        return [
            Outcome(one["name"], one["refit"], one["average"], one["out_of_fold"])
            for one in self.result.get("learners", [])
        ]

    @cached_property
    def methods(self) -> list[Outcome]:
        """How well each way of combining the members does; empty if nothing was made of them."""
        found: dict[str, dict[str, int]] = {}
        for one in self.result.get("methods", []):
            counts = found.setdefault(one["method"], {"out_of_fold": one["cross_validated"]})
            counts[one["by"]] = one["n_correct"]
        return [Outcome(name, **counts) for name, counts in found.items()]

    @cached_property
    def calibrations(self) -> list[Calibration]:
        """How well each method's probabilities are calibrated."""
        return [
            Calibration(
                one["method"],
                one["by"],
                one["temperature"],
                one["log_loss"],
                one["expected_calibration_error"],
                one["calibrated_log_loss"],
                one["calibrated_expected_calibration_error"],
            )
            for one in self.result.get("methods", [])
        ]

    @cached_property
    def stackings(self) -> list[WayOfStacking]:
        """Every meta-learner, fitted each way."""
        return [WayOfStacking(**one) for one in self.result.get("stackings", [])]

    @property
    def no_hold_out(self) -> str:
        """Why no meta-learner was fitted on a hold-out; empty if one was."""
        return str(self.result.get("no_hold_out", ""))

    @property
    def chosen(self) -> tuple[str, By]:
        """The method chosen on the training images alone, and which predictions it is given."""
        return self.result["chosen"]["method"], self.result["chosen"]["by"]

    @property
    def chosen_correct(self) -> int:
        """Validation images that the chosen method gets right."""
        method, by = self.chosen
        found = next(one for one in self.methods if one.name == method)
        return found.refit if by == "refit" else found.average

    @property
    def best_learner(self) -> Outcome:
        """The member with most training images right out of fold; the first of equals."""
        return max(self.learners, key=lambda one: one.out_of_fold)


def in_pairs(folds: Iterable[Artifact], stacked: Iterable[Artifact]) -> list[Ensemble]:
    """Return the ensembles of which there are predictions, each with what was made of them."""
    results = [(artifact, artifact.json("result")) for artifact in stacked]
    by_place = {(result["ensemble"], result["split"]): artifact for artifact, result in results}
    alone = [Ensemble(predictions, None) for predictions in folds]
    return [Ensemble(each.folds, by_place.get((each.name, each.split))) for each in alone]


def checked(one: Ensemble) -> Ensemble:
    """Return an ensemble whose counts of correct images agree with its own predictions.

    Raises InvalidInput if they don't.
    """
    if not one.stacked:
        return one
    ways: Sequence[By] = ("refit", "average")
    for outcome in one.learners:
        for by in ways:
            found = one.member_predicted(outcome.name, by)
            _check(one, outcome.name, by, getattr(outcome, by), found)
    for outcome in one.methods:
        for by in ways:
            found = one.proba(outcome.name, by).argmax(axis=1)
            _check(one, outcome.name, by, getattr(outcome, by), found)
    return one


def _check(one: Ensemble, name: str, by: By, n_correct: int, predicted: np.ndarray) -> None:
    path = one.stacked.path if one.stacked else one.folds.path
    if predicted.shape != one.truth.shape:
        raise InvalidInput(
            f"{path}: expected {len(one.truth)} predictions of {name} by {by}, got shape "
            f"{predicted.shape}; remove the artifact and run the same command again"
        )
    found = int(np.sum(predicted == one.truth))
    if found != n_correct:
        raise InvalidInput(
            f"{path}: expected {n_correct} of {len(one.truth)} correct by {name} ({by}), its "
            f"predictions have {found}; remove the artifact and run the same command again"
        )
