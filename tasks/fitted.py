"""Stage `fitted`: a classifier on features that predicts, fitted on a split or on all images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.config import ClassifierSettings, CombinationSettings, StudySettings
from flowers17.data.splits import Split
from flowers17.stages import Job, Stage
from tasks import classifier, images
from tasks.split import measuring_split, score_on


def stage(
    settings: StudySettings,
    combination: CombinationSettings,
    maps: Sequence[Stage],
    rows: Stage,
    split: Stage,
    measures: Stage | None = None,
) -> Stage:
    """Stage of a classifier on a split, or on a fold or all images, which have the form of a split.

    measures: of a fit on all images, the stage `classifier` that measured the same on splits.
    """
    names = [feature_map.name for feature_map in combination.maps]
    label = measures.label if measures else f"{combination.classifier} on {' + '.join(names)}"
    inputs = {**dict(zip(names, maps, strict=True)), "split": split}
    inputs |= classifier.inputs(combination, maps, rows)
    if measures:
        inputs["measures"] = measures
        inputs |= {role: measures.inputs[role] for role in measures.inputs if role == "duplicates"}
    return Stage.of(
        "fitted",
        f"{label}, {split.label}",
        config={**classifier.configuration(settings, combination), **images.resizing(settings)},
        seed=settings.seed,
        inputs=inputs,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Fit on the training part, store what was fitted, and predict every image."""
    from flowers17.prediction.fitted_classifier import of_fit
    from flowers17.transfer.classifier_evaluation import fits
    from flowers17.transfer.rowspace import side_by_side

    config, split = job.config, job.inputs["split"]
    labels, split_info = split.array("labels"), split.json("split")
    parts = split.array("train"), split.array("validation")
    name = config["classifier"]
    columns = side_by_side([job.inputs[each].mapped("features") for each in config["maps"]])
    rows = job.inputs["rows"].array("rows") if "rows" in job.inputs else None
    duplicates = job.inputs.get("duplicates")
    [fit] = fits(
        name,
        ClassifierSettings.model_validate({name: config["hyperparameters"]}),
        features=columns,
        rows=rows,
        labels=labels,
        splits=[Split(split_info["name"], split_info["kind"], None, *parts)],
        seed=job.seed,
        n_components=config["n_components"],
        search=config["search"],
        class_weight=config.get("class_weight"),
        groups=duplicates.array("groups") if duplicates else None,
    )
    fitted = of_fit(fit, columns, rows)
    job.save_json("classifier", fitted.description)
    for array_name, array in fitted.arrays.items():
        job.save_array(f"classifier-{array_name}", array)
    proba = fit.proba(np.arange(len(labels)))
    job.save_array("proba", proba)
    score: Mapping[str, Any] = score_on(split, proba)
    result = {**config, "hyperparameters": fit.chosen, "classes": split.json("classes"), **score}
    if "measures" in job.inputs:
        score = measuring_split(job.inputs["measures"].json("result")["splits"])
        result["measured"] = {**score, "split": score["name"]}
    job.save_json("result", result)
    return {"accuracy": round(score["n_correct"] / score["n_validation"], 4)}
