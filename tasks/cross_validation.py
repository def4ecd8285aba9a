"""Stage `cross_validation`: the best classifiers on features, and one's out-of-fold probabilities.

The report's part on what to do next asks them. Probabilities are those of the judge, the classifier
of the least cross-entropy. Hyper-parameters are those given, or chosen on the clean split.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, Reference
from flowers17.config import ClassifierSettings, StudySettings
from flowers17.data.balance import first_measure
from flowers17.data.splits import Split
from flowers17.errors import InvalidInput, WeightsMissing
from flowers17.stages import Job, Stage
from tasks.classifier import arrays
from tasks.network_training import weighting

logger = logging.getLogger(f"flowers17.{__name__}")
DATA = {"splits", "duplicates"}
TOO_FEW = (
    "every class needs two images that are not near-duplicates of each other, so that a model "
    "that did not see an image can predict its class; add images of the smallest class"
)
ONE_CLASS = (
    "expected a classifier that tells classes apart, but {}, fitted without an image, names one "
    "class for every image alike; add images, or other classifiers to features.classifiers.names"
)


def stage(
    settings: StudySettings, classifiers: Sequence[Stage], splits: Stage, duplicates: Stage
) -> Stage:
    """Stage of the best of some classifiers, whichever there are."""
    inputs = {"splits": splits, "duplicates": duplicates}
    return Stage.of(
        "cross_validation",
        "best classifiers, out of fold",
        config={"n_classifiers": settings.next_steps.n_classifiers, **weighting(settings)},
        seed=settings.seed,
        inputs=inputs | {classifier.label: classifier for classifier in classifiers},
        optional=all(classifier.optional for classifier in classifiers),
        tolerant=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Rank the classifiers, and predict each image by the judge, fitted on folds without it."""
    from flowers17.transfer.classifier_evaluation import search_folds

    evaluated = [job.inputs[name] for name in job.inputs.keys() - DATA]
    if not evaluated or not job.inputs.keys() >= DATA:
        raise WeightsMissing(
            "expected a classifier on features that was evaluated, got none; the part on feature "
            "extraction says why"
        )
    artifact, groups = job.inputs["splits"], job.inputs["duplicates"].array("groups")
    labels = artifact.array("labels")
    splits = [Split.from_json(value) for value in artifact.json("splits")["splits"]]
    evaluated.sort(key=lambda each: (-_score(each), each.reference.key))
    judge = _described(min(evaluated, key=lambda each: _log_loss(each, labels, splits)))
    models = [_described(each) for each in evaluated[: job.config["n_classifiers"]]]
    result = {"models": models, "judge": judge, "reason": ""}
    pool, none = np.union1d(splits[0].train, splits[0].validation), np.empty(0, np.int64)
    try:
        folds = search_folds(labels, groups, Split("", "clean", None, pool, none), job.seed)
    except InvalidInput:
        logger.warning("%s", TOO_FEW)
        job.save_json("result", {**result, "reason": TOO_FEW})
        return {"judge": judge["label"]}
    parts = [Split(f"fold-{k}", "repeated", None, *rows) for k, rows in enumerate(folds, start=1)]
    proba = np.zeros((len(labels), int(labels.max()) + 1))
    fold_of_image = np.full(len(labels), -1, np.int64)
    for k, fit in enumerate(fits_of(job, judge, labels, parts)):
        rows = parts[k].validation
        proba[rows], fold_of_image[rows] = fit.proba(rows), k
        job.progress(k + 1, len(parts), "folds")
    if len(np.unique(proba[pool].argmax(axis=1))) == 1:
        result["reason"] = ONE_CLASS.format(judge["label"])
    job.save_json("result", result)
    saved = {"proba": proba, "folds": fold_of_image, "labels": labels, "groups": groups}
    job.save_arrays(saved)
    accuracy = float(np.mean(proba[pool].argmax(axis=1) == labels[pool]))
    return {"judge": judge["label"], "accuracy (out of fold)": round(accuracy, 4)}


def _score(classifier: Artifact) -> float:
    """Mean of the measure that stands first over the repeated clean splits, or on all splits."""
    scores = classifier.json("result")["splits"]
    scores = [score for score in scores if score["kind"] == "repeated"] or scores
    counts = ((score["n_correct"], score["n_validation"], score["by_class"]) for score in scores)
    return float(np.mean([first_measure(*each) for each in counts]))


def _log_loss(classifier: Artifact, labels: np.ndarray, splits: Sequence[Split]) -> float:
    """Mean cross-entropy on the splits but the report's."""
    from flowers17.ensemble.calibration import log_loss

    losses = (
        log_loss(classifier.array(f"{split.name}-proba"), labels[split.validation])
        for split in splits[1:]
    )
    return float(np.mean(list(losses)))


def _described(classifier: Artifact) -> dict[str, Any]:
    """A classifier as the stages after this fit it again."""
    result = classifier.json("result")
    clean = next(score for score in result["splits"] if score["name"] == "clean")
    return {
        "label": classifier.manifest["label"],
        "artifact": classifier.reference.to_json(),
        "hyperparameters": clean["chosen"],
        **{name: result[name] for name in ("maps", "classifier", "n_components", "search")},
    }


def fits_of(
    job: Job, model: Mapping[str, Any], labels: np.ndarray, splits: Sequence[Split]
) -> Iterator[Any]:
    """Yield the fit of a classifier of `result.json` on the training part of each split.

    Its arrays are those that it was evaluated on; as many principal components as a part allows.
    """
    from flowers17.transfer.classifier_evaluation import fits

    references = job.store.open(Reference.from_json(model["artifact"])).manifest["inputs"]
    names = [name for name in ("rows", *model["maps"]) if name in references]
    inputs = {name: job.store.open(Reference.from_json(references[name])) for name in names}
    name, n_components = model["classifier"], model["n_components"]
    data = arrays(inputs, model["maps"])
    for n_used, alike in groupby(
        splits, lambda split: n_components and min(n_components, len(split.train) - 1)
    ):
        yield from fits(
            name,
            ClassifierSettings.model_validate({name: model["hyperparameters"]}),
            **data,
            labels=labels,
            splits=list(alike),
            seed=job.seed,
            n_components=n_used,
            class_weight=job.config.get("class_weight"),
        )
