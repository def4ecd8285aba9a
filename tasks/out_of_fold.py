"""Stage `out_of_fold`: what an ensemble's members say of images that they did not see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.stages import Job, Stage


@dataclass(frozen=True)
class Member:
    """A base model's stages: one a fold, and one on all the split's training images."""

    name: str
    folds: Sequence[Stage]
    refit: Stage


def stage(ensemble: str, members: Sequence[Member], folds: Stage, split: Stage) -> Stage:
    """Return the stage of an ensemble's probabilities on one split."""
    models = {
        **{
            _role(member.name, number): one
            for member in members
            for number, one in enumerate(member.folds, start=1)
        },
        **{_role(member.name, "refit"): member.refit for member in members},
    }
    return Stage.of(
        "out_of_fold",
        f"out-of-fold of {ensemble}, {split.label}",
        "tasks.out_of_fold:build",
        {"ensemble": ensemble, "members": [one.name for one in members]},
        inputs={"folds": folds, **models},
        optional=any(one.optional for one in models.values()),
    )


def _role(member: str, number: int | str) -> str:
    return f"{member}/{number}"


def build(job: Job) -> Mapping[str, Any]:
    """Set the members' probabilities side by side, those of each fold from its own models."""
    from flowers17.ensemble.probabilities import averaged_models, column_names, out_of_fold

    names, divided = job.config["members"], job.inputs["folds"]
    described, folds = divided.json("folds"), divided.array("folds")
    labels, validation = divided.array("labels"), divided.array("validation")
    classes = divided.json("classes")
    numbers = range(1, described["n_folds"] + 1)
    by_fold = [_side_by_side(job, number) for number in numbers]
    refit = _side_by_side(job, "refit")
    job.save_array("out-of-fold", out_of_fold(by_fold, folds))
    job.save_array("average", averaged_models(by_fold, folds))
    job.save_array("refit", refit)
    job.save_array("first-fold", by_fold[0])
    for name, array in (("folds", folds), ("groups", divided.array("groups"))):
        job.save_array(name, array)
    job.save_array("labels", labels)
    job.save_array("validation", validation)
    members = [_described(job, name, numbers) for name in names]
    job.save_json(
        "members",
        {
            "ensemble": job.config["ensemble"],
            "split": described["name"],
            "kind": described["kind"],
            "n_folds": described["n_folds"],
            "fingerprint": described["fingerprint"],
            "classes": classes,
            "columns": column_names(names, classes),
            "members": members,
        },
    )
    return {"n_members": len(names), "n_folds": described["n_folds"]}


def _side_by_side(job: Job, number: int | str) -> np.ndarray:
    from flowers17.ensemble.probabilities import side_by_side

    models = {name: job.inputs[_role(name, number)] for name in job.config["members"]}
    return side_by_side(
        {name: one.array("proba") for name, one in models.items()},
        {name: one.json("result")["classes"] for name, one in models.items()},
    )


def _described(job: Job, name: str, numbers: Sequence[int]) -> dict[str, Any]:
    results = [job.inputs[_role(name, number)].json("result") for number in numbers]
    refit = job.inputs[_role(name, "refit")].json("result")
    is_network = "best_epoch" in refit
    return {
        "name": name,
        "epochs": [one["best_epoch"] for one in results] if is_network else None,
        "refit_epochs": refit["best_epoch"] if is_network else None,
        "n_operations": refit.get("n_operations"),
        "n_parameters": refit.get("n_parameters"),
    }
