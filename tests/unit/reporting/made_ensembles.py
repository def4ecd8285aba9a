"""Ensembles made by hand: known folds, errors, importances and ways of stacking."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import (
    EnsembleDefinition,
    EnsembleSettings,
    FeatureMapSettings,
    MemberSettings,
)
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.reference import TABLE_4

from .made_study import tiny_study
from .maker import Maker, absent_stage

STUDYS = [f"mk-{number} wide" for number in range(2, 7)]
OWN = ["residual best", "svm on mobilenet"]
N_FOLDS = 3
# Errors of each member: refitted, averaged (of the 12 held out), out of fold (of the 36 others).
ERRORS = {
    "mk-2 wide": (4, 3, 12),
    "mk-3 wide": (3, 3, 9),
    "mk-4 wide": (5, 5, 15),
    "mk-5 wide": (4, 4, 14),
    "mk-6 wide": (4, 5, 13),
    "residual best": (2, 2, 6),
    "svm on mobilenet": (4, 4, 10),
}
# Errors of each method: refitted, averaged, cross-validated.
METHODS = {
    "average": (3, 2, 8),
    "weighted_average": (2, 2, 8),
    "random_forest": (2, 1, 6),
    "logistic_regression": (3, 2, 9),
    "gradient_boosting": (4, 4, 10),
}
# Rows fitted on, apparent errors of them, honest errors of the 12 held out.
WAYS = {"biased": (36, 0, 6), "hold-out": (12, 4, 5), "out-of-fold": (36, 6, 1)}
REASON_OF_A_FOLD = "its loss left the finite numbers <in fold 2>"


def said(truth: np.ndarray, n_wrong: int, n_classes: int) -> np.ndarray:
    """Return probabilities of images of which the first `n_wrong` are taken for the next class."""
    taken = truth.copy()
    taken[:n_wrong] = (taken[:n_wrong] + 1) % n_classes
    proba = np.full((len(truth), n_classes), 0.1 / (n_classes - 1))
    proba[np.arange(len(truth)), taken] = 0.9
    return proba


def out_of_fold_arrays(
    labels: np.ndarray, validation: np.ndarray, members: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the arrays of the stage `out_of_fold`: members err on the first images."""
    c = int(labels.max()) + 1
    train = np.setdiff1d(np.arange(len(labels)), validation)
    folds = np.full(len(labels), -1, np.int64)
    folds[train] = np.arange(len(train)) % N_FOLDS
    shape = (len(labels), len(members) * c)
    refit = np.full(shape, 1 / c, np.float32)
    average, out_of_fold = (np.full(shape, np.nan, np.float32) for _ in range(2))
    for place, name in enumerate(members):
        columns = slice(place * c, (place + 1) * c)
        by_refit, by_average, unseen = ERRORS[name]
        refit[train, columns] = said(labels[train], 0, c)
        refit[validation, columns] = said(labels[validation], by_refit, c)
        average[validation, columns] = said(labels[validation], by_average, c)
        out_of_fold[train, columns] = said(labels[train], unseen, c)
    return {
        "out-of-fold": out_of_fold,
        "average": average,
        "refit": refit,
        "first-fold": refit,
        "folds": folds,
        "groups": np.arange(len(labels)),
        "labels": labels,
        "validation": validation,
    }


def described_members(
    ensemble: str, split: Mapping[str, Any], members: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """Return `members.json` of the stage `out_of_fold`."""
    shapes = {f"{name} wide": shape for name, shape in TABLE_4.items()}
    described = []
    for name in members:
        network = " on " not in name
        parameters = shapes[name].n_parameters if name in shapes else 7_800_000
        described.append(
            {
                "name": name,
                "epochs": [40, 50, 60] if network else None,
                "refit_epochs": 50 if network else None,
                "n_operations": 1e9 if network else None,
                "n_parameters": parameters if network else None,
            }
        )
    return {
        "ensemble": ensemble,
        "split": split["name"],
        "kind": split["kind"],
        "n_folds": N_FOLDS,
        "fingerprint": "f" * 64,
        "classes": list(classes),
        "columns": [f"{member}/{one}" for member in members for one in classes],
        "members": described,
    }


def _stacked(
    ensemble: str,
    split: Mapping[str, Any],
    members: Sequence[str],
    classes: Sequence[str],
    truth: np.ndarray,
    more: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return result and arrays of the stage `stacking`; methods make `more` errors."""
    n_train, n, c = len(split["train"]), len(truth), len(classes)
    methods, arrays = [], {}
    for name, (refit, average, unseen) in METHODS.items():
        for by, wrong in (("average", average + more), ("refit", refit + more)):
            arrays[f"{name}-{by}-proba"] = said(truth, wrong, c)
            methods.append(
                {
                    "method": name,
                    "by": by,
                    "n_correct": n - wrong,
                    "cross_validated": n_train - unseen,
                    "log_loss": 0.5,
                    "expected_calibration_error": 0.25,
                    "temperature": 1.5,
                    "calibrated_log_loss": 0.4,
                    "calibrated_expected_calibration_error": 0.125,
                }
            )
    share = {name: (place + 1) / 15 for place, name in enumerate(members)}
    if len(members) == 2:
        share = dict(zip(members, (0.75, 0.25), strict=True))
    result = {
        "ensemble": ensemble,
        "split": split["name"],
        "kind": split["kind"],
        "members": list(members),
        "n_folds": N_FOLDS,
        "fingerprint": "f" * 64,
        "n_train": n_train,
        "n_validation": n,
        "classes": list(classes),
        "learners": [
            {
                "name": name,
                "epochs": None,
                "refit_epochs": None,
                "refit": n - ERRORS[name][0],
                "average": n - ERRORS[name][1],
                "out_of_fold": n_train - ERRORS[name][2],
            }
            for name in members
        ],
        "methods": methods,
        "stackings": [
            {
                "way": way,
                "meta_learner": name,
                "n_fitted": fitted,
                "apparent": fitted - apparent,
                "n_apparent": fitted,
                "honest": n - honest - more,
                "n_honest": n,
            }
            for way, (fitted, apparent, honest) in WAYS.items()
            for name in ("random_forest", "logistic_regression", "gradient_boosting")
        ],
        "no_hold_out": "",
        "weights": share,
        "coefficients": [
            [1.0 * (column % c == row) + column / 100 for column in range(len(members) * c)]
            for row in range(c)
        ],
        "importances": {
            "impurity": {
                f"{name}/{one}": weight / c for name, weight in share.items() for one in classes
            },
            "permutation": {name: {"mean": 0.1, "spread": 0.02} for name in members},
            "per_class": {one: dict.fromkeys(members, 0.05) for one in classes},
            "left_out": dict.fromkeys(members, n - 2),
        },
        "chosen": {"method": "random_forest", "by": "average"},
    }
    return result, arrays


def publish_ensemble(
    maker: Maker,
    inputs: ReportInputs,
    ensemble: str,
    members: Sequence[str],
    place: int,
    *,
    stack: bool = True,
    more: int = 0,
    models: Mapping[str, Artifact] | None = None,
) -> None:
    """Publish an ensemble's two artifacts on the split at a place; its methods make more errors.

    models: those of its members that are artifacts, by the names of the stage's inputs.
    """
    split, labels = inputs.divided[place], inputs.labels
    validation = np.asarray(split["validation"], dtype=np.int64)
    arrays = out_of_fold_arrays(labels, validation, members)
    described = described_members(ensemble, split, members, inputs.class_names)
    end = f"of {ensemble}, {split['name']} split"
    made = maker.publish(
        "out_of_fold", f"out-of-fold {end}", models or {}, arrays, {"members": described}
    )
    if stack:
        result, probas = _stacked(
            ensemble, split, members, inputs.class_names, labels[validation], more
        )
        given = {"out_of_fold": made}
        maker.publish("stacking", f"stacking {end}", given, probas, {"result": result})


def settings_with_ensembles(inputs: ReportInputs) -> dict[str, Any]:
    """Return a study's settings with the study's ensemble and one of ours."""
    own = EnsembleDefinition(
        name="own",
        members=(
            MemberSettings(learner="residual", recipe="best"),
            MemberSettings(classifier="svm", maps=(FeatureMapSettings(extractor="mobilenet"),)),
        ),
    )
    ours = EnsembleSettings(ensembles=(own, *EnsembleSettings().ensembles))
    return {**inputs.settings, "ensemble": ours.model_dump(mode="json")}


def combined_study(
    root: Path, *, random: bool = False, more: Sequence[int] = (0, 1), **changes: Any
) -> ReportInputs:
    """Return the tiny study with the study's ensemble, and one of ours on two repeated splits.

    The study's is on the clean split. more: errors of our ensemble's methods beyond `METHODS`, on
    each repeated split. On a third one a fold of it was not trained.
    """
    inputs = tiny_study(root / "study", random=random, **changes)
    maker = Maker(root / "ensembles")
    publish_ensemble(maker, inputs, "study", STUDYS, 1)
    for place, errors in enumerate(more, start=2):
        publish_ensemble(maker, inputs, "own", OWN, place, more=errors)
    absent = [
        absent_stage(
            "a2", stage, label, REASON_OF_A_FOLD, "repeat-03", ensemble="own", learner="residual"
        )
        for stage, label in (
            ("training", "residual best, repeat-03 fold 2"),
            ("out_of_fold", "out-of-fold of own, repeat-03 split"),
            ("stacking", "stacking of own, repeat-03 split"),
        )
    ]
    return ReportInputs(
        {**inputs.artifacts, **maker.artifacts},
        [*inputs.absent, *absent],
        settings_with_ensembles(inputs),
    )
