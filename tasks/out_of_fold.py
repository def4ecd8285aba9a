"""Stage `out_of_fold`: out-of-fold probabilities of an ensemble's members.

Each image's come from the models whose training folds lack it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.stages import Job, Stage
from tasks.split import test_rows


@dataclass(frozen=True)
class Member:
    """Stages of a base model: one for each fold, and the refit on all the training images."""

    name: str
    folds: Sequence[Stage]
    refit: Stage


def stage(ensemble: str, members: Sequence[Member], folds: Stage, split: Stage) -> Stage:
    """Stage of an ensemble's out-of-fold probabilities on a split."""
    models = {
        **{
            _role(member.name, number): fold_stage
            for member in members
            for number, fold_stage in enumerate(member.folds, start=1)
        },
        **{_role(member.name, "refit"): member.refit for member in members},
    }
    return Stage.of(
        "out_of_fold",
        f"out-of-fold of {ensemble}, {split.label}",
        config={"ensemble": ensemble, "members": [member.name for member in members]},
        inputs={"folds": folds, **models},
    )


def _role(member: str, number: int | str) -> str:
    return f"{member}/{number}"


def build(job: Job) -> Mapping[str, Any]:
    """Join the members' probabilities, those of each fold from its own models."""
    from flowers17.ensemble.predictions import averaged_models, column_names, out_of_fold

    names, folds_artifact = job.config["members"], job.inputs["folds"]
    folds_info, folds = folds_artifact.json("folds"), folds_artifact.array("folds")
    labels, validation = folds_artifact.array("labels"), folds_artifact.array("validation")
    classes = folds_artifact.json("classes")
    numbers = range(1, folds_info["n_folds"] + 1)
    by_fold = [_proba_columns(job, number) for number in numbers]
    refit = _proba_columns(job, "refit")
    job.save_array("out-of-fold", out_of_fold(by_fold, folds))
    job.save_array("average", averaged_models(by_fold, folds))
    job.save_array("refit", refit)
    job.save_array("first-fold", by_fold[0])
    for name, array in (("folds", folds), ("groups", folds_artifact.array("groups"))):
        job.save_array(name, array)
    job.save_array("labels", labels)
    job.save_array("validation", validation)
    job.save_array("test", test_rows(folds_artifact))
    members = [_member_info(job, name, numbers) for name in names]
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

    models = {name: job.inputs[_role(name, number)] for name in job.config["members"]}
    return side_by_side(
        {name: model.array("proba") for name, model in models.items()},
        {name: model.json("result")["classes"] for name, model in models.items()},
    )


def _member_info(job: Job, name: str, numbers: Sequence[int]) -> dict[str, Any]:
    results = [job.inputs[_role(name, number)].json("result") for number in numbers]
    refit = job.inputs[_role(name, "refit")].json("result")
    is_network = "best_epoch" in refit
    return {
        "name": name,
        "epochs": [result["best_epoch"] for result in results] if is_network else None,
        "refit_epochs": refit["best_epoch"] if is_network else None,
        "n_operations": refit.get("n_operations"),
        "n_parameters": refit.get("n_parameters"),
    }
