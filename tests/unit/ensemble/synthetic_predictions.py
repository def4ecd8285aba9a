"""Synthetic predictions: members of known skill, folds, and a validation part."""

from typing import Any

import numpy as np

from flowers17.ensemble.predictions import Predictions

SKILLS = (0.6, 1.2, 2.0)


def member_proba(
    labels: np.ndarray, skill: float, n_classes: int, random: np.random.Generator
) -> Any:
    """Return probabilities (n, c): noise, and `skill` more for the truth in the exponent."""
    logits = random.normal(size=(len(labels), n_classes))
    logits[np.arange(len(labels)), labels] += skill
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True)


def arrays(
    *, n_classes: int = 3, n_each: int = 20, n_folds: int = 3, skills: tuple[float, ...] = SKILLS
) -> dict[str, Any]:
    """Arguments of `Predictions`: every fourth image validates, refits know their own."""
    random = np.random.default_rng(11)
    labels = np.repeat(np.arange(n_classes), n_each)
    n = len(labels)
    validation = np.flatnonzero(np.arange(n) % 4 == 0)
    folds = (np.arange(n) // 4 + np.arange(n)) % n_folds
    folds[validation] = -1

    def matrix(more: float = 0.0) -> np.ndarray:
        members = [member_proba(labels, skill + more, n_classes, random) for skill in skills]
        return np.hstack(members).astype(np.float32)

    out_of_fold, average, refit, first_fold = matrix(), matrix(0.2), matrix(0.2), matrix()
    out_of_fold[validation] = np.nan
    average[folds >= 0] = np.nan
    refit[folds >= 0] = matrix(8.0)[folds >= 0]
    return {
        "out_of_fold": out_of_fold,
        "average": average,
        "refit": refit,
        "first_fold": first_fold,
        "folds": folds,
        "groups": np.arange(n),
        "labels": labels,
        "validation": validation,
        "members": tuple(f"member {k}" for k in range(len(skills))),
        "classes": tuple(f"class {k}" for k in range(n_classes)),
    }


def synthetic_predictions(**shape: Any) -> Predictions:
    """Return predictions of members of growing skill."""
    return Predictions(**arrays(**shape))
