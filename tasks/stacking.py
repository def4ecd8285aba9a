"""Stages of ensembles: `folds`, `fold`, `out_of_fold` and `stacking`.

Folds divide a split's training images. Each image's out-of-fold probabilities come from the models
whose training folds lack it. Averaging and stacking on them is under three schemes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage
from tasks.network_training import weighting
from tasks.split import test_rows

logger = logging.getLogger(f"flowers17.{__name__}")


def folds_stage(settings: StudySettings, split: Stage, duplicates: Stage) -> Stage:
    """Stage of a split's folds, the same for every learner."""
    return Stage.of(
        "folds",
        f"folds of {split.label}",
        "tasks.stacking:build_folds",
        {
            "n_folds": settings.ensemble.n_folds,
            "choosing_fraction": settings.ensemble.choosing_fraction,
        },
        seed=settings.seed,
        inputs={"split": split, "duplicates": duplicates},
    )


def fold_stage(folds: Stage, split: Stage, number: int, *, choosing: bool) -> Stage:
    """Stage of one fold, from 1, in the form of a split.

    choosing: whether a part of the training images becomes the validation part, to select the epoch
    on. Else the held-out images do; they may then select nothing.
    """
    name = json.loads(split.config)["name"]
    return Stage.of(
        "fold",
        f"{name} fold {number}" + ("" if choosing else ", whole"),
        "tasks.stacking:build_fold",
        {"fold": number, "choosing": choosing},
        inputs={"folds": folds},
    )


def build_folds(job: Job) -> Mapping[str, Any]:
    """Divide the split's training images; near-duplicates stay together."""
    from flowers17.ensemble.folds import fingerprint, fold_rows, stratified_folds

    split, groups = job.inputs["split"], job.inputs["duplicates"].array("groups")
    labels, n_folds = split.array("labels"), job.config["n_folds"]
    class_names = split.json("classes")
    folds = stratified_folds(
        labels,
        groups,
        split.array("train"),
        n_folds=n_folds,
        seed=job.seed,
        class_names=class_names,
    )
    for number in range(n_folds):
        rows = fold_rows(
            labels,
            groups,
            folds,
            number,
            choosing_fraction=job.config["choosing_fraction"],
            seed=job.seed,
            class_names=class_names,
        )
        job.save_arrays({f"{number + 1:02d}-{part}": array for part, array in rows.items()})
    digest = fingerprint(folds, labels)
    job.save_json("folds", {**split.json("split"), "n_folds": n_folds, "fingerprint": digest})
    job.save_json("classes", class_names)
    arrays = {"folds": folds, "groups": groups, "labels": labels, "test": test_rows(split)}
    job.save_arrays({**arrays, "validation": split.array("validation")})
    return {"n_folds": n_folds, "fingerprint": digest[:12]}


def build_fold(job: Job) -> Mapping[str, Any]:
    """Copy a fold's rows, and the labels of all images."""
    folds, number = job.inputs["folds"], job.config["fold"]
    train, choosing, held_out = (
        folds.array(f"{number:02d}-{part}") for part in ("train", "choosing", "held_out")
    )
    if not job.config["choosing"]:
        train, choosing = np.union1d(train, choosing), held_out
    name = f"{folds.json('folds')['name']} fold {number}"
    job.save_json("split", {"name": name, "kind": "fold"})
    job.save_json("classes", folds.json("classes"))
    arrays = {"labels": folds.array("labels"), "train": train, "validation": choosing}
    job.save_arrays(arrays)
    return {"n_train": len(train), "n_validation": len(choosing)}


class Member(NamedTuple):
    """Stages of a base model: one for each fold, and the refit on all the training images."""

    name: str
    folds: Sequence[Stage]
    refit: Stage


def out_of_fold_stage(
    ensemble: str, members: Sequence[Member], folds: Stage, split: Stage
) -> Stage:
    """Stage of an ensemble's out-of-fold probabilities on a split."""
    models = {
        **{
            f"{member.name}/{number}": fold_stage
            for member in members
            for number, fold_stage in enumerate(member.folds, start=1)
        },
        **{f"{member.name}/refit": member.refit for member in members},
    }
    return Stage.of(
        "out_of_fold",
        f"out-of-fold of {ensemble}, {split.label}",
        "tasks.stacking:build_out_of_fold",
        {"ensemble": ensemble, "members": [member.name for member in members]},
        inputs={"folds": folds, **models},
    )


def build_out_of_fold(job: Job) -> Mapping[str, Any]:
    """Join the members' probabilities, those of each fold from its own models."""
    from flowers17.ensemble.predictions import averaged_models, column_names, out_of_fold

    names, folds_artifact = job.config["members"], job.inputs["folds"]
    folds_info, folds = folds_artifact.json("folds"), folds_artifact.array("folds")
    classes = folds_artifact.json("classes")
    numbers = range(1, folds_info["n_folds"] + 1)
    by_fold = [_proba_columns(job, number) for number in numbers]
    job.save_arrays(
        {
            **{name: folds_artifact.array(name) for name in ("groups", "labels", "validation")},
            "folds": folds,
            "test": test_rows(folds_artifact),
            "out-of-fold": out_of_fold(by_fold, folds),
            "average": averaged_models(by_fold, folds),
            "refit": _proba_columns(job, "refit"),
            "first-fold": by_fold[0],
        }
    )
    members = []
    for name in names:
        results = [job.inputs[f"{name}/{number}"].json("result") for number in numbers]
        result = job.inputs[f"{name}/refit"].json("result")
        member: dict[str, Any] = {"name": name, "epochs": None, "refit_epochs": None}
        if "best_epoch" in result:
            member["epochs"] = [each["best_epoch"] for each in results]
            member["refit_epochs"] = result["best_epoch"]
        counts = {key: result.get(key) for key in ("n_operations", "n_parameters")}
        members.append({**member, **counts})
    job.save_json(
        "members",
        {
            "ensemble": job.config["ensemble"],
            "split": folds_info["name"],
            "kind": folds_info["kind"],
            "n_folds": folds_info["n_folds"],
            "fingerprint": folds_info["fingerprint"],
            "classes": classes,
            "columns": column_names(names, classes),
            "members": members,
        },
    )
    return {"n_members": len(names), "n_folds": folds_info["n_folds"]}


def _proba_columns(job: Job, number: int | str) -> np.ndarray:
    from flowers17.ensemble.predictions import side_by_side

    models = {name: job.inputs[f"{name}/{number}"] for name in job.config["members"]}
    return side_by_side(
        {name: model.array("proba") for name, model in models.items()},
        {name: model.json("result")["classes"] for name, model in models.items()},
    )


def stage(settings: StudySettings, ensemble: str, out_of_fold: Stage, split: Stage) -> Stage:
    """Return the stage of one ensemble on one split."""
    return Stage.of(
        "stacking",
        f"stacking of {ensemble}, {split.label}",
        config={
            "ensemble": ensemble,
            "meta_learners": list(settings.ensemble.meta_learners),
            **weighting(settings),
        },
        seed=settings.seed,
        inputs={"out_of_fold": out_of_fold},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Fit every meta-learner under every stacking scheme."""
    from flowers17.ensemble.predictions import Predictions
    from flowers17.ensemble.stacking import stacked

    probabilities = job.inputs["out_of_fold"]
    described = probabilities.json("members")
    names = ("average", "refit", "folds", "groups", "labels", "validation")
    predictions = Predictions(
        **{name: probabilities.array(name) for name in names},
        out_of_fold=probabilities.array("out-of-fold"),
        first_fold=probabilities.array("first-fold"),
        test=test_rows(probabilities),
        members=tuple(member["name"] for member in described["members"]),
        classes=tuple(described["classes"]),
    )
    result, arrays = stacked(
        predictions,
        job.config["meta_learners"],
        job.seed,
        progress=lambda n_done, total: job.progress(n_done, total, "fits"),
        class_weight=job.config.get("class_weight"),
    )
    if result["no_hold_out"]:
        logger.warning("no hold-out: %s", result["no_hold_out"])
    learners = [
        {**member, **counts}
        for member, counts in zip(described["members"], result["learners"], strict=True)
    ]
    named = {name: described[name] for name in ("ensemble", "split", "kind", "fingerprint")}
    job.save_json("result", {**named, **result, "learners": learners})
    job.save_arrays(arrays)
    best = result["chosen"]
    [chosen] = [method for method in result["methods"] if best.items() <= method.items()]
    return {
        "method": chosen["method"],
        "accuracy": round(chosen["n_correct"] / result["n_validation"], 4),
    }
