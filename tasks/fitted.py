"""Stage `fitted`: a classifier on features, fitted on one split or fold, for ensembles."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.config import ClassifierSettings, CombinationSettings, StudySettings
from flowers17.data.balance import counts_by_class
from flowers17.data.splits import Split
from flowers17.stages import Job, Stage
from tasks import classifier, images
from tasks.network_training import weighting


def stage(
    settings: StudySettings,
    combination: CombinationSettings,
    maps: Sequence[Stage],
    rows: Stage,
    split: Stage,
) -> Stage:
    """Stage of a classifier on a split or on a fold, which has the form of a split."""
    names = [feature_map.name for feature_map in combination.maps]
    name = combination.classifier
    return Stage.of(
        "fitted",
        f"{name} on {' + '.join(names)}, {split.label}",
        "tasks.fitted:build",
        {
            "maps": names,
            "classifier": name,
            "hyperparameters": {
                setting: value
                for setting, value in getattr(settings.features.classifiers, name)
                if not setting.startswith("search_")
            },
            "random_weights": settings.features.weights == "random",
            **images.resizing(settings),
            **weighting(settings),
        },
        seed=settings.seed,
        inputs={**classifier.inputs(combination, maps, rows), "split": split},
        optional=any(feature_map.optional for feature_map in maps),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Fit on the training part; predict every image."""
    from flowers17.transfer.classifier_evaluation import fitted_proba, fitting_task

    config, split = job.config, job.inputs["split"]
    labels, validation = split.array("labels"), split.array("validation")
    split_info = split.json("split")
    name = config["classifier"]
    task = fitting_task(
        name,
        **classifier.arrays(job),
        labels=labels,
        split=Split(split_info["name"], split_info["kind"], None, split.array("train"), validation),
        seed=job.seed,
        class_weight=config.get("class_weight"),
    )
    settings = ClassifierSettings.model_validate({name: config["hyperparameters"]})
    proba = fitted_proba(name, settings, task)
    truth, predicted = labels[validation], proba[validation].argmax(axis=1)
    n_correct = int((predicted == truth).sum())
    job.save_array("proba", proba)
    job.save_json(
        "result",
        {
            **config,
            "split": split_info["name"],
            "kind": split_info["kind"],
            "classes": split.json("classes"),
            "n_train": len(split.array("train")),
            "n_validation": len(validation),
            "n_correct": n_correct,
            "by_class": counts_by_class(labels, truth, predicted),
        },
    )
    return {"accuracy": round(n_correct / len(validation), 4)}
