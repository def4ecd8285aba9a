"""Stages `classifier` and `fitted`: a classifier on a set of features.

The first measures it over all splits; the second fits one that predicts, on a split or on all
images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, Reference
from flowers17.config import (
    COLUMN_CLASSIFIERS,
    ClassifierSettings,
    CombinationSettings,
    StudySettings,
)
from flowers17.data.splits import Split
from flowers17.stages import Job, Stage
from tasks.images import resizing
from tasks.network_training import weighting
from tasks.split import measuring_split, score_on


def stage(
    settings: StudySettings,
    combination: CombinationSettings,
    maps: Sequence[Stage],
    rows: Stage,
    splits: Stage,
    duplicates: Stage,
) -> Stage:
    """Stage of a classifier; a search also reads the near-duplicates, to keep them in one fold."""
    names = [feature_map.name for feature_map in combination.maps]
    classifier = combination.classifier
    stage_inputs = inputs(combination, maps, rows) | {"splits": splits}
    if combination.search:
        stage_inputs["duplicates"] = duplicates
    label = f"{classifier} on {' + '.join(names)}"
    label += f", {combination.n_components} components" if combination.n_components else ""
    label += ", searched" if combination.search else ""
    return Stage.of(
        "classifier",
        label,
        config=configuration(settings, combination),
        seed=settings.seed,
        inputs=stage_inputs,
    )


def configuration(settings: StudySettings, combination: CombinationSettings) -> dict[str, Any]:
    """Configuration of a classifier; what a search tries is part of it only if there is one."""
    return {
        "maps": [feature_map.name for feature_map in combination.maps],
        "classifier": combination.classifier,
        "hyperparameters": {
            name: value
            for name, value in getattr(settings.features.classifiers, combination.classifier)
            if combination.search or not name.startswith("search_")
        },
        "n_components": combination.n_components,
        "search": combination.search,
        "random_weights": settings.features.weights == "random",
        **weighting(settings),
    }


def inputs(
    combination: CombinationSettings, maps: Sequence[Stage], rows: Stage
) -> dict[str, Stage]:
    """Input stages of a classifier: row-space coordinates, or the feature maps."""
    if combination.classifier in COLUMN_CLASSIFIERS and not combination.n_components:
        return dict(zip((feature_map.name for feature_map in combination.maps), maps, strict=True))
    return {"rows": rows}


def arrays(artifacts: Mapping[str, Artifact], maps: Sequence[str]) -> dict[str, Any]:
    """Input array of a classifier under the name of its form, from its `inputs`."""
    from flowers17.transfer.rowspace import side_by_side

    if "rows" in artifacts:
        return {"rows": artifacts["rows"].mapped("rows")}
    return {"features": side_by_side([artifacts[name].mapped("features") for name in maps])}


def _groups(job: Job) -> np.ndarray | None:
    """Near-duplicates that the splits keep on one side: int (n,); None if nothing tells."""
    if "duplicates" in job.inputs:
        return job.inputs["duplicates"].array("groups")
    origin = job.inputs["splits"].manifest["inputs"].get("duplicates")
    return job.store.open(Reference.from_json(origin)).array("groups") if origin else None


def build(job: Job) -> Mapping[str, Any]:
    """Fit the classifier on every split's training part and predict its validation part."""
    from flowers17.data.balance import counts_by_class, test_score
    from flowers17.transfer.classifier_evaluation import evaluate

    config, artifact = job.config, job.inputs["splits"]
    labels = artifact.array("labels")
    splits = [Split.from_json(value) for value in artifact.json("splits")["splits"]]
    results = evaluate(
        config["classifier"],
        ClassifierSettings.model_validate({config["classifier"]: config["hyperparameters"]}),
        **arrays(job.inputs, config["maps"]),
        labels=labels,
        splits=splits,
        seed=job.seed,
        n_components=config["n_components"],
        search=config["search"],
        class_weight=config.get("class_weight"),
        groups=_groups(job),
        progress=lambda n_done, n_splits: job.progress(n_done, n_splits, "splits"),
    )
    for result in results:
        job.save_array(f"{result.name}-proba", result.proba)
        if result.out_of_fold is not None:
            job.save_array(f"{result.name}-out-of-fold", result.out_of_fold)
        job.save_array(f"{result.name}-predicted", result.predicted)
        if len(result.test_proba):
            job.save_array(f"{result.name}-test-proba", result.test_proba)
    summary = [
        {
            "name": result.name,
            "kind": result.kind,
            "n_train": len(split.train),
            "n_validation": len(result.predicted),
            "n_correct": result.n_correct,
            "accuracy": result.accuracy,
            "by_class": counts_by_class(labels, labels[split.validation], result.predicted),
            "test": test_score(labels, split.test, result.test_proba),
            "chosen": result.chosen,
        }
        for result, split in zip(results, splits, strict=True)
    ]
    job.save_json("result", {**config, "features": " + ".join(config["maps"]), "splits": summary})
    metrics = {
        f"accuracy ({result.kind})": round(result.accuracy, 4)
        for result in results
        if result.kind in ("report", "clean")
    }
    repeated = [result.accuracy for result in results if result.kind == "repeated"]
    if repeated:
        metrics["mean accuracy (clean splits)"] = round(float(np.mean(repeated)), 4)
    return metrics


def fitted_stage(
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
    stage_inputs = {**dict(zip(names, maps, strict=True)), "split": split}
    stage_inputs |= inputs(combination, maps, rows)
    if measures:
        stage_inputs["measures"] = measures
        roles = [role for role in measures.inputs if role == "duplicates"]
        stage_inputs |= {role: measures.inputs[role] for role in roles}
    return Stage.of(
        "fitted",
        f"{label}, {split.label}",
        "tasks.classifier:build_fitted",
        {**configuration(settings, combination), **resizing(settings)},
        seed=settings.seed,
        inputs=stage_inputs,
    )


def fitted_on(
    split: Split, inputs: Mapping[str, Artifact], config: Mapping[str, Any], seed: int
) -> tuple[Any, Any]:
    """Fit of a classifier on a split's training part, and the same as plain numbers."""
    from flowers17.prediction.fitted_classifier import of_fit
    from flowers17.transfer.classifier_evaluation import fits
    from flowers17.transfer.rowspace import side_by_side

    name, duplicates = config["classifier"], inputs.get("duplicates")
    columns = side_by_side([inputs[each].mapped("features") for each in config["maps"]])
    rows = inputs["rows"].array("rows") if "rows" in inputs else None
    [fit] = fits(
        name,
        ClassifierSettings.model_validate({name: config["hyperparameters"]}),
        features=columns,
        rows=rows,
        labels=inputs["split"].array("labels"),
        splits=[split],
        seed=seed,
        n_components=config["n_components"],
        search=config["search"],
        class_weight=config.get("class_weight"),
        groups=duplicates.array("groups") if duplicates else None,
    )
    return fit, of_fit(fit, columns, rows)


def build_fitted(job: Job) -> Mapping[str, Any]:
    """Fit on the training part, store what was fitted, and predict every image."""
    config, split = job.config, job.inputs["split"]
    labels, split_info = split.array("labels"), split.json("split")
    parts = split.array("train"), split.array("validation")
    rows = Split(split_info["name"], split_info["kind"], None, *parts)
    fit, fitted = fitted_on(rows, job.inputs, config, job.seed)
    job.save_json("classifier", fitted.description)
    job.save_arrays({f"classifier-{each}": array for each, array in fitted.arrays.items()})
    proba = fit.proba(np.arange(len(labels)))
    job.save_array("proba", proba)
    score: Mapping[str, Any] = score_on(split, proba)
    result = {**config, "hyperparameters": fit.chosen, "classes": split.json("classes"), **score}
    if "measures" in job.inputs:
        score = measuring_split(job.inputs["measures"].json("result")["splits"])
        result["measured"] = {**score, "split": score["name"]}
    job.save_json("result", result)
    return {"accuracy": round(score["n_correct"] / score["n_validation"], 4)}
