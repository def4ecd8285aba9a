"""An ensemble on one split: its averages and stackings, as numbers and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from flowers17.data.balance import counts_by_class, test_score
from flowers17.ensemble.importances import of_forest
from flowers17.ensemble.meta_learners import check_name
from flowers17.ensemble.methods import chosen, methods, weights_of
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.schemes import Stacking, n_correct, schemes, stackings
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
    for name in meta_learners:
        check_name(name)
    available, no_hold_out = schemes(predictions, seed=seed)
    n_steps, n_done = len(available) * len(meta_learners) + 1, 0

    def report_step() -> None:
        nonlocal n_done
        n_done += 1
        if progress:
            progress(n_done, n_steps)

    p = predictions
    stacks = stackings(
        p,
        available,
        meta_learners,
        seed=seed,
        class_weight=class_weight,
        on_fitted=report_step,
    )
    table = methods(p, stacks)
    models = {stack.meta_learner: stack.model for stack in stacks if stack.scheme == "out-of-fold"}
    forest = models.get("random_forest")
    importances = of_forest(forest, p, seed=seed) if forest is not None else None
    report_step()
    best = chosen(table)
    result = {
        "members": list(p.members),
        "classes": list(p.classes),
        "n_folds": p.n_folds,
        "n_train": len(p.train),
        "n_validation": len(p.validation),
        "learners": _learners(p),
        "methods": [{"method": row.name, "by": row.by, **row.counts} for row in table],
        "stackings": [_stacking(stack) for stack in stacks],
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


def _stacking(stacking: Stacking) -> dict[str, Any]:
    fields = asdict(stacking)
    del fields["model"], fields["cross_validated"]
    return fields


def _coefficients(model: Any) -> list[list[float]] | None:
    """Weights of a logistic regression by class and column; None without a model."""
    if model is None:
        return None
    weights = model.coef_
    if len(weights) == 1:  # of two classes scikit-learn keeps the difference
        weights = np.concatenate([-weights, weights]) / 2
    return [row.tolist() for row in weights]
