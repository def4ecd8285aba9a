"""Stage `classifier`: one classifier on one set of features, over all splits."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from flowers17.config import ClassifierSettings, CombinationSettings, StudySettings
from flowers17.data.splits import Split
from flowers17.stages import Job, Stage
from flowers17.transfer.families import needs


def stage(
    settings: StudySettings,
    combination: CombinationSettings,
    maps: Sequence[Stage],
    rows: Stage,
    splits: Stage,
    duplicates: Stage,
) -> Stage:
    """Return the stage of one classifier; it reads the columns only if it needs them.

    A search reads the near-duplicates, which its folds keep together.
    """
    names = [one.name for one in combination.maps]
    classifier = combination.classifier
    reads = inputs(combination, maps, rows) | {"splits": splits}
    if combination.search:
        reads["duplicates"] = duplicates
    label = f"{classifier} on {' + '.join(names)}"
    label += f", {combination.n_components} components" if combination.n_components else ""
    label += ", searched" if combination.search else ""
    hyperparameters = {
        name: value
        for name, value in getattr(settings.features.classifiers, classifier)
        if combination.search or not name.startswith("search_")
    }
    return Stage.of(
        "classifier",
        label,
        "tasks.classifier:build",
        {
            "maps": names,
            "classifier": classifier,
            "hyperparameters": hyperparameters,
            "n_components": combination.n_components,
            "search": combination.search,
            "random_weights": settings.features.weights == "random",
        },
        seed=settings.seed,
        inputs=reads,
        optional=any(one.optional for one in maps),
    )


def inputs(
    combination: CombinationSettings, maps: Sequence[Stage], rows: Stage
) -> dict[str, Stage]:
    """Return what a classifier reads: coordinates of rows, or the columns if it needs them."""
    if needs(combination.classifier) == "features" and not combination.n_components:
        return dict(zip((one.name for one in combination.maps), maps, strict=True))
    return {"rows": rows}


class Read(TypedDict, total=False):
    """What a classifier reads, by its name: one of the two."""

    rows: np.ndarray
    features: np.ndarray


def read(job: Job) -> Read:
    """Return the array among a job's `inputs` that its classifier reads."""
    from flowers17.transfer.rowspace import side_by_side

    if "rows" in job.inputs:
        return {"rows": job.inputs["rows"].mapped("rows")}
    maps = [job.inputs[name].mapped("features") for name in job.config["maps"]]
    return {"features": side_by_side(maps)}


def build(job: Job) -> Mapping[str, Any]:
    """Fit the classifier on every split's training part and predict its validation part."""
    from flowers17.transfer.classifiers import evaluate

    config, splits = job.config, job.inputs["splits"]
    results = evaluate(
        config["classifier"],
        ClassifierSettings.model_validate({config["classifier"]: config["hyperparameters"]}),
        **read(job),
        labels=splits.array("labels"),
        splits=[Split.from_json(value) for value in splits.json("splits")["splits"]],
        seed=job.seed,
        n_components=config["n_components"],
        search=config["search"],
        groups=job.inputs["duplicates"].array("groups") if config["search"] else None,
        progress=lambda done, total: job.progress(done, total, "splits"),
    )
    for result in results:
        job.save_array(f"{result.name}-proba", result.proba)
        job.save_array(f"{result.name}-predicted", result.predicted)
    summary = [
        {
            "name": result.name,
            "kind": result.kind,
            "n_train": result.n_train,
            "n_validation": len(result.predicted),
            "n_correct": result.n_correct,
            "accuracy": result.accuracy,
            "chosen": result.chosen,
        }
        for result in results
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
