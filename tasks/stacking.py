"""Stage `stacking`: averaging and stacking on an ensemble's probabilities, under three schemes."""

import logging
from collections.abc import Mapping
from typing import Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage
from tasks.network_training import weighting
from tasks.split import test_rows

logger = logging.getLogger(f"flowers17.{__name__}")


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
    predictions = Predictions(
        out_of_fold=probabilities.array("out-of-fold"),
        average=probabilities.array("average"),
        refit=probabilities.array("refit"),
        first_fold=probabilities.array("first-fold"),
        folds=probabilities.array("folds"),
        groups=probabilities.array("groups"),
        labels=probabilities.array("labels"),
        validation=probabilities.array("validation"),
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
    for name, array in arrays.items():
        job.save_array(name, array)
    best = result["chosen"]
    [chosen] = [method for method in result["methods"] if best.items() <= method.items()]
    return {
        "method": chosen["method"],
        "accuracy": round(chosen["n_correct"] / result["n_validation"], 4),
    }
