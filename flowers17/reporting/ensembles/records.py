"""What the artifacts of an ensemble hold: its members, and how they do on a split together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from flowers17.artifacts import Artifact, Reference
from flowers17.reporting.metrics import Measured, difference_interval
from flowers17.reporting.records import Score, disagreement

By = Literal["refit", "average"]


@dataclass(frozen=True)
class Member:
    """A base model: what it is made of, and how long it was trained.

    epochs: kept by the models of the folds; None, as the others, for what is no network.
    """

    name: str
    epochs: Sequence[int] | None
    refit_epochs: int | None
    n_operations: float | None
    n_parameters: int | None


@dataclass(frozen=True)
class StackingResult:
    """The accuracy of one meta-learner under one stacking scheme.

    scheme: `biased`, `hold-out` or `out-of-fold`. apparent: in cross-validation on the images that
    the meta-learner is fitted on; held_out: on the validation images.
    """

    scheme: str
    meta_learner: str
    apparent: Score
    held_out: Score

    @property
    def optimism(self) -> Measured:
        """Apparent accuracy minus the accuracy on held-out images, with Newcombe's interval.

        The two accuracies are measured on different images.
        """
        apparent, held_out = self.apparent, self.held_out
        interval = difference_interval(
            apparent.n_correct, apparent.n_validation, held_out.n_correct, held_out.n_validation
        )
        return Measured(apparent.accuracy - held_out.accuracy, interval)


@dataclass(frozen=True, eq=False)
class EnsembleResult:
    """An ensemble on one split: its members' predictions, and the members combined.

    folds: artifact of the stage `out_of_fold`. stacked: of the stage `stacking`; None, and what
    follows `truth` empty, if the members were not combined.
    kind: the split's, report, clean, repeated or official. rows, truth: validation images and
    their labels, int64 (n_validation,). outcomes: scores of the members, then of the methods that
    combine them, by name; `refit` and `average` on the validation images, by the models refitted
    on all training images and by the mean of the folds' models, `out_of_fold` on the training
    images. calibrations: of each method's probabilities of the validation images, before and after
    temperature scaling. no_hold_out: why no meta-learner was fitted on a hold-out. coefficients: of
    the logistic regression, by class and column. chosen: the method chosen on the training images
    alone, and the models whose predictions it is given.
    """

    folds: Artifact
    stacked: Artifact | None
    name: str
    split: str
    kind: str
    n_folds: int
    n_train: int
    classes: Sequence[str]
    members: Sequence[Member]
    rows: np.ndarray
    truth: np.ndarray
    outcomes: Mapping[str, Mapping[str, Score]]
    calibrations: Sequence[Mapping[str, Any]]
    stackings: Sequence[StackingResult]
    no_hold_out: str
    weights: Mapping[str, float]
    coefficients: Sequence[Sequence[float]]
    importances: Mapping[str, Any]
    chosen: tuple[str, By]

    @property
    def reference(self) -> Reference:
        """The artifact behind its numbers."""
        return (self.stacked or self.folds).reference

    @property
    def split_title(self) -> str:
        """Display name of the split: `the clean split`, `split repeat-01`."""
        return f"split {self.split}" if self.kind == "repeated" else f"the {self.split} split"

    @property
    def chosen_score(self) -> Score:
        """The chosen method's score on the validation images."""
        method, by = self.chosen
        return self.outcomes[method][by]

    @property
    def best_member(self) -> str:
        """The member with most training images right out of fold; the first of equals."""
        names = [member.name for member in self.members]
        return max(names, key=lambda name: self.outcomes[name]["out_of_fold"].n_correct)

    @property
    def impurity(self) -> Mapping[str, float]:
        """The random forest's impurity importance of each member, its outputs together."""
        values = self.importances.get("impurity", {})
        return {
            member.name: sum(values[f"{member.name}/{label}"] for label in self.classes)
            for member in self.members
            if values
        }

    def stacking(self, scheme: str, meta_learner: str) -> StackingResult | None:
        """A meta-learner under a scheme, if it was fitted."""
        for stacking in self.stackings:
            if (stacking.scheme, stacking.meta_learner) == (scheme, meta_learner):
                return stacking
        return None

    def proba(self, method: str, by: By) -> np.ndarray:
        """A method's uncalibrated probabilities, float64 (n_validation, n_classes)."""
        return (self.stacked or self.folds).array(f"{method}-{by}-proba")

    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether the chosen method, and the best member by the same models, has each image right.

        Both are bool (n_validation,), and both chosen on the training images alone.
        """
        method, by = self.chosen
        chosen, member = self.predicted(method, by), self.predicted(self.best_member, by)
        return chosen == self.truth, member == self.truth

    def predicted(self, name: str, by: By) -> np.ndarray:
        """A member's or method's classes of the validation images, int64 (n_validation,)."""
        names = [member.name for member in self.members]
        if name not in names:
            return self.proba(name, by).argmax(axis=1)
        start, c = names.index(name) * len(self.classes), len(self.classes)
        return self.folds.array(by)[self.rows, start : start + c].argmax(axis=1)


def ensemble_results(
    folds: Iterable[Artifact], stacked: Iterable[Artifact]
) -> list[EnsembleResult]:
    """The ensembles of which there are predictions, split by split.

    Raises InvalidInput if a result disagrees with its own predictions.
    """
    stackings = {}
    for artifact in stacked:
        values = artifact.json("result")
        stackings[values["ensemble"], values["split"]] = artifact
    results = [_result(artifact, stackings) for artifact in folds]
    for result in results:
        _check(result)
    return results


def _result(folds: Artifact, stackings: Mapping[tuple[str, str], Artifact]) -> EnsembleResult:
    described = folds.json("members")
    stacked = stackings.get((described["ensemble"], described["split"]))
    values: Mapping[str, Any] = stacked.json("result") if stacked else {}
    methods, chosen = values.get("methods", []), values.get("chosen", {})
    split, kind, rows = described["split"], described["kind"], folds.array("validation")
    n, n_train = len(rows), int(np.sum(folds.array("folds") >= 0))
    score = partial(Score, split, kind, n_train)
    scores: dict[str, dict[str, Score]] = {}
    for member in values.get("learners", []):
        by_models = scores.setdefault(member["name"], {})
        for by, n_images in (("refit", n), ("average", n), ("out_of_fold", n_train)):
            by_class, test = member.get(f"{by}_by_class"), member.get(f"{by}_test")
            by_models[by] = score(n_images, member[by], by_class=by_class, test=test)
    for method in methods:
        by_models = scores.setdefault(method["method"], {})
        by_class, test = method.get("by_class"), method.get("test")
        by_models[method["by"]] = score(n, method["n_correct"], by_class=by_class, test=test)
        by_models["out_of_fold"] = score(n_train, method["cross_validated"])
    return EnsembleResult(
        folds,
        stacked,
        described["ensemble"],
        split,
        kind,
        described["n_folds"],
        n_train,
        described["classes"],
        [Member(**member) for member in described["members"]],
        rows,
        folds.array("labels")[rows],
        scores,
        methods,
        [
            StackingResult(
                stacking["scheme"],
                stacking["meta_learner"],
                score(stacking["n_fitted"], stacking["n_apparent"]),
                score(stacking["n_validation"], stacking["n_correct"]),
            )
            for stacking in values.get("stackings", [])
        ],
        values.get("no_hold_out", ""),
        values.get("weights") or {},
        values.get("coefficients") or [],
        values.get("importances") or {},
        (chosen.get("method", ""), chosen.get("by", "refit")),
    )


def _check(result: EnsembleResult) -> None:
    """Raise InvalidInput unless an ensemble's counts of correct images are its predictions'."""
    artifact, n = result.stacked or result.folds, len(result.truth)
    for name, outcome in result.outcomes.items():
        for by in get_args(By):
            predicted, n_counted = result.predicted(name, by), outcome[by].n_correct
            if predicted.shape != (n,):
                problem = f"{n} predictions of {name} by {by}, got shape {predicted.shape}"
                raise disagreement(artifact, problem)
            n_correct = int(np.sum(predicted == result.truth))
            if n_correct != n_counted:
                problem = f"{n_counted} of {n} correct by {name} ({by}), its predictions have "
                raise disagreement(artifact, f"{problem}{n_correct}")
