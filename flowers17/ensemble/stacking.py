"""All that is made of an ensemble's probabilities on one split, as numbers and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from flowers17.ensemble.importances import of_forest
from flowers17.ensemble.meta_learners import check_name
from flowers17.ensemble.methods import Method, chosen, methods, weights_of
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.ways import Stacking, n_correct, stackings, ways
from flowers17.errors import InvalidSettings


class Stacked(NamedTuple):
    """result: ready for JSON. arrays: `<method>-<by>-proba`, float64 (n_validation, c)."""

    result: dict[str, Any]
    arrays: dict[str, np.ndarray]


def stacked(
    predictions: Predictions,
    meta_learners: Sequence[str],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Stacked:
    """Return averages and stackings of an ensemble, how well they do, and what members contribute.

    meta_learners: names, see `meta_learners.META_LEARNERS`; importances need `random_forest` among
    them, coefficients `logistic_regression`.
    progress: told (steps done, steps in all); a step is one meta-learner fitted one way.
    Where the first fold is too small to be divided again there is no hold-out, and `no_hold_out`
    says why. Raises InvalidSettings for an unknown or doubled name.
    """
    if len(set(meta_learners)) < len(meta_learners):
        raise InvalidSettings(f"meta-learners: expected each once, got {', '.join(meta_learners)}")
    for name in meta_learners:
        check_name(name)
    found, no_hold_out = ways(predictions, seed=seed)
    n_steps, n_done = len(found) * len(meta_learners) + 1, 0

    def told() -> None:
        nonlocal n_done
        n_done += 1
        if progress:
            progress(n_done, n_steps)

    p = predictions
    stacks = stackings(p, found, meta_learners, seed=seed, told=told)
    table = methods(p, stacks)
    models = {one.meta_learner: one.model for one in stacks if one.way == "out-of-fold"}
    forest = models.get("random_forest")
    importances = of_forest(forest, p, seed=seed) if forest is not None else None
    told()
    best = chosen(table)
    result = {
        "members": list(p.members),
        "classes": list(p.classes),
        "n_folds": p.n_folds,
        "n_train": len(p.train),
        "n_validation": len(p.validation),
        "learners": _learners(p),
        "methods": [_method(one) for one in table],
        "stackings": [_stacking(one) for one in stacks],
        "no_hold_out": no_hold_out,
        "weights": dict(zip(p.members, weights_of(p).tolist(), strict=True)),
        "coefficients": _coefficients(models.get("logistic_regression")),
        "importances": importances,
        "chosen": {"method": best.name, "by": best.by},
    }
    return Stacked(result, {f"{one.name}-{one.by}-proba": one.proba for one in table})


def _learners(p: Predictions) -> list[dict[str, Any]]:
    """Return how many images each member gets right on its own."""
    parts = {
        "out_of_fold": (p.out_of_fold, p.train),
        "refit": (p.refit, p.validation),
        "average": (p.average, p.validation),
    }
    return [
        {
            "name": member,
            **{
                name: n_correct(matrix[rows][:, p.columns_of(member)], p.labels[rows])
                for name, (matrix, rows) in parts.items()
            },
        }
        for member in p.members
    ]


def _method(one: Method) -> dict[str, Any]:
    found = asdict(one)
    del found["proba"]
    return {"method": found.pop("name"), **found}


def _stacking(one: Stacking) -> dict[str, Any]:
    return {
        "way": one.way,
        "meta_learner": one.meta_learner,
        "n_fitted": one.n_fitted,
        "apparent": one.apparent,
        "n_apparent": one.n_fitted,
        "honest": one.honest,
        "n_honest": one.n_honest,
    }


def _coefficients(model: Any) -> list[list[float]] | None:
    """Return a logistic regression's weights by class and column; None without one."""
    if model is None:
        return None
    found = model.coef_
    if len(found) == 1:  # of two classes scikit-learn keeps the difference
        found = np.concatenate([-found, found]) / 2
    return [row.tolist() for row in found]
