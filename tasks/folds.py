"""Stages `folds` and `fold`: the folds of a split's training images, and a single fold."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage
from tasks.split import test_rows


def stage(settings: StudySettings, split: Stage, duplicates: Stage) -> Stage:
    """Stage of a split's folds, the same for every learner."""
    return Stage.of(
        "folds",
        f"folds of {split.label}",
        config={
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
        "tasks.folds:build_fold",
        {"fold": number, "choosing": choosing},
        inputs={"folds": folds},
    )


def build(job: Job) -> Mapping[str, Any]:
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
        for part, row_indices in rows.items():
            job.save_array(f"{number + 1:02d}-{part}", row_indices)
    digest = fingerprint(folds, labels)
    job.save_json("folds", {**split.json("split"), "n_folds": n_folds, "fingerprint": digest})
    job.save_json("classes", class_names)
    job.save_array("folds", folds)
    job.save_array("groups", groups)
    job.save_array("labels", labels)
    job.save_array("validation", split.array("validation"))
    job.save_array("test", test_rows(split))
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
    job.save_array("labels", folds.array("labels"))
    job.save_array("train", train)
    job.save_array("validation", choosing)
    return {"n_train": len(train), "n_validation": len(choosing)}
