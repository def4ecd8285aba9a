"""Methods that combine the members' predictions, evaluated on the same validation images."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from flowers17.data.balance import counts_by_class, first_measure, test_score
from flowers17.ensemble.averaging import averaged, best_weights, weighted
from flowers17.ensemble.calibration import (
    expected_calibration_error,
    log_loss,
    temperature,
    tempered,
)
from flowers17.ensemble.meta_learners import probabilities
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.schemes import Stacking, n_correct

By = Literal["average", "refit"]


class Method(NamedTuple):
    """A method applied to the mean of the fold models' predictions, or to the refits'.

    counts, ready for JSON: `n_correct` and what follows from `proba`, of the validation images;
    `cross_validated`: correct training images, whatever is fitted being fitted on the other folds;
    `temperature`: chosen on these; `by_class`, `cross_validated_by_class`: see
    `data.balance.counts_by_class`; `test`: see `data.balance.test_score`.
    proba: float64 (n_validation, c), before the temperature is applied; test_proba: (n_test, c);
    out_of_fold: the same of the training images.
    """

    name: str
    by: By
    counts: dict[str, Any]
    proba: np.ndarray
    test_proba: np.ndarray
    out_of_fold: np.ndarray


def methods(predictions: Predictions, stackings: Sequence[Stacking]) -> list[Method]:
    """Averages and out-of-fold stackings, each by both predictions."""
    p = predictions
    weights = weights_of(p)
    results = _both("average", p, averaged(p.by_member(p.out_of_fold[p.train])), averaged)
    results += _both(
        "weighted_average", p, _cross_validated_weights(p), lambda probas: weighted(probas, weights)
    )
    for stacking in stackings:
        if stacking.scheme == "out-of-fold":
            combined = partial(_by_meta_learner, stacking.model)
            results += _both(stacking.meta_learner, p, stacking.cross_validated, combined)
    return results


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


def _by_meta_learner(model: Any, probas: np.ndarray) -> np.ndarray:
    return probabilities(model, np.hstack(list(probas)))


def _both(
    name: str,
    p: Predictions,
    cross_validated: np.ndarray,
    combined: Callable[[np.ndarray], np.ndarray],
) -> list[Method]:
    heat = temperature(cross_validated, p.labels[p.train])
    truth = p.labels[p.validation]
    results = []
    matrices: tuple[tuple[By, np.ndarray], ...] = (("average", p.average), ("refit", p.refit))
    for by, matrix in matrices:
        rows = np.concatenate([p.validation, p.test])
        proba, test_proba = np.split(combined(p.by_member(matrix[rows])), [len(truth)])
        calibrated = tempered(proba, heat)
        counts = {
            "n_correct": n_correct(proba, truth),
            "cross_validated": n_correct(cross_validated, p.labels[p.train]),
            "log_loss": log_loss(proba, truth),
            "expected_calibration_error": expected_calibration_error(proba, truth),
            "temperature": heat,
            "calibrated_log_loss": log_loss(calibrated, truth),
            "calibrated_expected_calibration_error": expected_calibration_error(calibrated, truth),
            "by_class": counts_by_class(p.labels, truth, proba.argmax(axis=1)),
            "cross_validated_by_class": counts_by_class(
                p.labels, p.labels[p.train], cross_validated.argmax(axis=1)
            ),
            "test": test_score(p.labels, p.test, test_proba),
        }
        results.append(Method(name, by, counts, proba, test_proba, cross_validated))
    return results
