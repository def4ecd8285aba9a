"""An ensemble on one split: its averages and stackings, as numbers and arrays."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from flowers17.data.balance import counts_by_class, first_measure, test_score
from flowers17.ensemble.calibration import (
    expected_calibration_error,
    log_loss,
    temperature,
    tempered,
)
from flowers17.ensemble.importances import of_forest
from flowers17.ensemble.meta_learners import (
    Stacking,
    n_correct,
    probabilities,
    schemes,
    stackings,
)
from flowers17.ensemble.predictions import Predictions, averaged, best_weights, weighted
from flowers17.errors import InvalidSettings


class Stacked(NamedTuple):
    """result: ready for JSON. arrays: `<method>-<by>-proba`, float64 (n_validation, c).

    Of a test part also `<method>-<by>-test-proba`, float64 (n_test, c); for two classes
    `<method>-out-of-fold`, float64 (n_train, c): of the training images.
    """

    result: dict[str, Any]
    arrays: dict[str, np.ndarray]


def stacked(
    predictions: Predictions,
    meta_learners: Sequence[str],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    class_weight: str | None = None,
) -> Stacked:
    """Averages and stackings of an ensemble, their accuracy, and the importance of each member.

    meta_learners: names, see `meta_learners.META_LEARNERS`; importances need `random_forest` among
    them, coefficients `logistic_regression`.
    progress: called with (steps done, steps in all); a step is one meta-learner of one scheme.
    class_weight: of the meta-learners: `balanced`, or None.
    Where the first fold is too small to be divided again there is no hold-out, and `no_hold_out`
    says why. Raises InvalidSettings for an unknown or doubled name.
    """
    if len(set(meta_learners)) < len(meta_learners):
        raise InvalidSettings(f"meta-learners: expected each once, got {', '.join(meta_learners)}")
    p = predictions
    available, no_hold_out = schemes(p, seed=seed)
    n_steps = len(available) * len(meta_learners) + 1
    report = progress or (lambda n_done, n_steps: None)
    stacks: list[Stacking] = []
    for stacking in stackings(p, available, meta_learners, seed, class_weight):
        stacks.append(stacking)
        report(len(stacks), n_steps)
    table = methods(p, stacks)
    models = {stack.meta_learner: stack.model for stack in stacks if stack.scheme == "out-of-fold"}
    forest = models.get("random_forest")
    importances = of_forest(forest, p, seed=seed) if forest is not None else None
    report(n_steps, n_steps)
    best = chosen(table)
    result = {
        "members": list(p.members),
        "classes": list(p.classes),
        "n_folds": p.n_folds,
        "n_train": len(p.train),
        "n_validation": len(p.validation),
        "learners": _learners(p),
        "methods": [{"method": row.name, "by": row.by, **row.counts} for row in table],
        "stackings": [stack.counts for stack in stacks],
        "no_hold_out": no_hold_out,
        "weights": dict(zip(p.members, weights_of(p).tolist(), strict=True)),
        "coefficients": _coefficients(models.get("logistic_regression")),
        "importances": importances,
        "chosen": {"method": best.name, "by": best.by},
    }
    arrays = {f"{method.name}-{method.by}-proba": method.proba for method in table}
    for method in table if len(p.test) else ():
        arrays[f"{method.name}-{method.by}-test-proba"] = method.test_proba
    if len(p.classes) == 2:
        arrays |= {f"{method.name}-out-of-fold": method.out_of_fold for method in table}
    return Stacked(result, arrays)


def _learners(p: Predictions) -> list[dict[str, Any]]:
    """Numbers of images that each member alone classifies correctly."""
    learners = []
    for member in p.members:
        columns, truth = p.columns_of(member), p.labels[p.validation]
        out_of_fold = n_correct(p.out_of_fold[p.train][:, columns], p.labels[p.train])
        learner: dict[str, Any] = {"name": member, "out_of_fold": out_of_fold}
        for by, matrix in (("refit", p.refit[:, columns]), ("average", p.average[:, columns])):
            proba = matrix[p.validation]
            learner[by] = n_correct(proba, truth)
            learner[f"{by}_by_class"] = counts_by_class(p.labels, truth, proba.argmax(axis=1))
            learner[f"{by}_test"] = test_score(p.labels, p.test, matrix[p.test])
        learners.append(learner)
    return learners


def _coefficients(model: Any) -> list[list[float]] | None:
    """Weights of a logistic regression by class and column; None without a model."""
    if model is None:
        return None
    weights = model.coef_
    if len(weights) == 1:  # of two classes scikit-learn keeps the difference
        weights = np.concatenate([-weights, weights]) / 2
    return [row.tolist() for row in weights]


class Method(NamedTuple):
    """A method applied by `average`, the mean of the fold models' predictions, or by `refit`.

    counts, ready for JSON: `n_correct` and what follows from `proba`, of the validation images;
    `cross_validated`: correct training images, whatever is fitted being fitted on the other folds;
    `temperature`: chosen on these; `by_class`, `cross_validated_by_class`: see
    `data.balance.counts_by_class`; `test`: see `data.balance.test_score`.
    proba: float64 (n_validation, c), before the temperature is applied; test_proba: (n_test, c);
    out_of_fold: the same of the training images.
    """

    name: str
    by: str
    counts: dict[str, Any]
    proba: np.ndarray
    test_proba: np.ndarray
    out_of_fold: np.ndarray


def methods(predictions: Predictions, stackings: Sequence[Stacking]) -> list[Method]:
    """Averages and out-of-fold stackings, each by both predictions."""
    p, weights = predictions, weights_of(predictions)
    train, truth = p.labels[p.train], p.labels[p.validation]
    # By name: probabilities of the training images out of fold, and the function of the members'.
    combinations: dict[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
        "average": (averaged(p.by_member(p.out_of_fold[p.train])), averaged),
        "weighted_average": (_cross_validated_weights(p), partial(weighted, weights=weights)),
    }
    for stacking in stackings:
        if stacking.scheme == "out-of-fold":
            fitted_proba = partial(_stacked_proba, stacking.model)
            combinations[stacking.meta_learner] = (stacking.cross_validated, fitted_proba)
    rows = np.concatenate([p.validation, p.test])
    results = []
    for name, (cross_validated, combined) in combinations.items():
        heat = temperature(cross_validated, train)
        for by, matrix in {"average": p.average, "refit": p.refit}.items():
            proba, test_proba = np.split(combined(p.by_member(matrix[rows])), [len(truth)])
            calibrated = tempered(proba, heat)
            counts = {
                "n_correct": n_correct(proba, truth),
                "cross_validated": n_correct(cross_validated, train),
                "log_loss": log_loss(proba, truth),
                "expected_calibration_error": expected_calibration_error(proba, truth),
                "temperature": heat,
                "calibrated_log_loss": log_loss(calibrated, truth),
                "calibrated_expected_calibration_error": expected_calibration_error(
                    calibrated, truth
                ),
                "by_class": counts_by_class(p.labels, truth, proba.argmax(axis=1)),
                "cross_validated_by_class": counts_by_class(
                    p.labels, train, cross_validated.argmax(axis=1)
                ),
                "test": test_score(p.labels, p.test, test_proba),
            }
            results.append(Method(name, by, counts, proba, test_proba, cross_validated))
    return results


def _stacked_proba(model: Any, probas: np.ndarray) -> np.ndarray:
    return probabilities(model, np.hstack([*probas]))


def weights_of(predictions: Predictions) -> np.ndarray:
    """Weights of the weighted average, (m,), from all out-of-fold probabilities."""
    rows = predictions.train
    return best_weights(
        predictions.by_member(predictions.out_of_fold[rows]), predictions.labels[rows]
    )


def chosen(methods: Sequence[Method]) -> Method:
    """Method that is best on the training images in cross-validation; the first of equals.

    By accuracy, or by balanced accuracy: see `data.balance`.
    """
    return max(
        (method for method in methods if method.by == "average"),
        key=lambda method: first_measure(
            method.counts["cross_validated"],
            len(method.out_of_fold),
            method.counts["cross_validated_by_class"],
        ),
    )


def _cross_validated_weights(p: Predictions) -> np.ndarray:
    """Weighted averages of the training images, (n, c), weights from the other folds."""
    probas, labels, folds = p.by_member(p.out_of_fold[p.train]), p.labels[p.train], p.folds_of_train
    proba = np.empty((len(labels), len(p.classes)))
    for fold in range(p.n_folds):
        held_out = folds == fold
        weights = best_weights(probas[:, ~held_out], labels[~held_out])
        proba[held_out] = weighted(probas[:, held_out], weights)
    return proba
