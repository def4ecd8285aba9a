"""Ensembles made by hand: known folds, errors, importances and stacking schemes."""

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
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import TABLE_4

from .made_study import tiny_study
from .maker import Maker, absent_stage

STUDY_MEMBERS = [f"mk-{number} wide" for number in range(2, 7)]
OWN_MEMBERS = ["residual best", "svm on mobilenet"]
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
# Rows fitted on, apparent errors among them, errors among the 12 held out.
SCHEMES = {"biased": (36, 0, 6), "hold-out": (12, 4, 5), "out-of-fold": (36, 6, 1)}
REASON_OF_A_FOLD = "its loss left the finite numbers <in fold 2>"


def proba_with_errors(truth: np.ndarray, n_wrong: int, n_classes: int) -> np.ndarray:
    """Probabilities of images of which the first `n_wrong` are taken for the next class."""
    predicted = truth.copy()
    predicted[:n_wrong] = (predicted[:n_wrong] + 1) % n_classes
    proba = np.full((len(truth), n_classes), 0.1 / (n_classes - 1))
    proba[np.arange(len(truth)), predicted] = 0.9
    return proba


def out_of_fold_arrays(
    labels: np.ndarray, validation: np.ndarray, members: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays of the stage `out_of_fold`: members err on the first images."""
    c = int(labels.max()) + 1
    train = np.setdiff1d(np.arange(len(labels)), validation)
    folds = np.full(len(labels), -1, np.int64)
    folds[train] = np.arange(len(train)) % N_FOLDS
    shape = (len(labels), len(members) * c)
    refit = np.full(shape, 1 / c, np.float32)
    average, out_of_fold = (np.full(shape, np.nan, np.float32) for _ in range(2))
    for index, name in enumerate(members):
        columns = slice(index * c, (index + 1) * c)
        by_refit, by_average, n_out_of_fold = ERRORS[name]
        refit[train, columns] = proba_with_errors(labels[train], 0, c)
        refit[validation, columns] = proba_with_errors(labels[validation], by_refit, c)
        average[validation, columns] = proba_with_errors(labels[validation], by_average, c)
        out_of_fold[train, columns] = proba_with_errors(labels[train], n_out_of_fold, c)
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
    """`members.json` of the stage `out_of_fold`."""
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
        "columns": [f"{member}/{label}" for member in members for label in classes],
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
    """Result and arrays of the stage `stacking`; methods make `more` errors."""
    n_train, n, c = len(split["train"]), len(truth), len(classes)
    methods, arrays = [], {}
    for name, (refit, average, cross_validated) in METHODS.items():
        for by, n_wrong in (("average", average + more), ("refit", refit + more)):
            arrays[f"{name}-{by}-proba"] = proba_with_errors(truth, n_wrong, c)
            methods.append(
                {
                    "method": name,
                    "by": by,
                    "n_correct": n - n_wrong,
                    "cross_validated": n_train - cross_validated,
                    "log_loss": 0.5,
                    "expected_calibration_error": 0.25,
                    "temperature": 1.5,
                    "calibrated_log_loss": 0.4,
                    "calibrated_expected_calibration_error": 0.125,
                }
            )
    share = {name: number / 15 for number, name in enumerate(members, start=1)}
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
                "scheme": scheme,
                "meta_learner": name,
                "n_fitted": fitted,
                "n_apparent": fitted - n_errors,
                "n_correct": n - n_held_out_errors - more,
                "n_validation": n,
            }
            for scheme, (fitted, n_errors, n_held_out_errors) in SCHEMES.items()
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
                f"{name}/{label}": weight / c for name, weight in share.items() for label in classes
            },
            "permutation": {name: {"mean": 0.1, "spread": 0.02} for name in members},
            "per_class": {label: dict.fromkeys(members, 0.05) for label in classes},
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
    index: int,
    *,
    stack: bool = True,
    more: int = 0,
    models: Mapping[str, Artifact] | None = None,
) -> None:
    """Publish an ensemble's two artifacts on one split; its methods make more errors.

    models: those of its members that are artifacts, by the names of the stage's inputs.
    """
    split, labels = inputs.divided[index], inputs.labels
    validation = np.asarray(split["validation"], dtype=np.int64)
    arrays = out_of_fold_arrays(labels, validation, members)
    described = described_members(ensemble, split, members, inputs.class_names)
    end = f"of {ensemble}, {split['name']} split"
    out_of_fold = maker.publish(
        "out_of_fold", f"out-of-fold {end}", models or {}, arrays, {"members": described}
    )
    if stack:
        result, probas = _stacked(
            ensemble, split, members, inputs.class_names, labels[validation], more
        )
        ensemble_inputs = {"out_of_fold": out_of_fold}
        maker.publish("stacking", f"stacking {end}", ensemble_inputs, probas, {"result": result})


def settings_with_ensembles(inputs: ReportInputs) -> dict[str, Any]:
    """A study's settings with the study's ensemble and one of ours."""
    own = EnsembleDefinition(
        name="own",
        members=(
            MemberSettings(learner="residual", recipe="best"),
            MemberSettings(classifier="svm", maps=(FeatureMapSettings(extractor="mobilenet"),)),
        ),
    )
    settings = EnsembleSettings(ensembles=(own, *EnsembleSettings().ensembles))
    return {**inputs.settings, "ensemble": settings.model_dump(mode="json")}


def combined_study(
    root: Path, *, random: bool = False, more: Sequence[int] = (0, 1), **changes: Any
) -> ReportInputs:
    """The tiny study with the study's ensemble, and one of ours on two repeated splits.

    The study's is on the clean split. more: errors of our ensemble's methods beyond `METHODS`, on
    each repeated split. On a third one a fold of it was not trained.
    """
    inputs = tiny_study(root / "study", random=random, **changes)
    maker = Maker(root / "ensembles")
    publish_ensemble(maker, inputs, "study", STUDY_MEMBERS, 1)
    for index, errors in enumerate(more, start=2):
        publish_ensemble(maker, inputs, "own", OWN_MEMBERS, index, more=errors)
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
