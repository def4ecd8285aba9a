"""Stages `label_errors`, `prediction_sets`, `learning_curve` and `share`: what to do next.

The first two are what out-of-fold probabilities of the judge tell, the classifier whose
probabilities come nearest to what they say; a learning curve is accuracy against the number of
training images, of which `share` is a part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from flowers17.config import StudySettings
from flowers17.data.balance import counts_by_class, first_measure, is_balanced
from flowers17.data.splits import Split
from flowers17.errors import InvalidInput
from flowers17.stages import Job, Stage
from tasks.cross_validation import fits_of
from tasks.network_training import weighting

N_LISTED, N_LARGEST = 100, 12
_COUNTS = ("n_correct", "n_validation", "by_class")
Point = tuple[int, float]  # training images, and the measure that stands first


def judged_stages(
    settings: StudySettings, best: Stage, images: Stage, duplicates: Stage
) -> tuple[Stage, Stage]:
    """Stage of the labels that look wrong, and that of the conformal sets."""
    labels = Stage.of(
        "label_errors",
        "labels that look wrong",
        "tasks.next_steps:build_label_errors",
        seed=settings.seed,
        inputs={"best": best, "images": images, "duplicates": duplicates},
        optional=best.optional,
    )
    sets = Stage.of(
        "prediction_sets",
        "prediction sets",
        "tasks.next_steps:build_prediction_sets",
        {"coverage": settings.next_steps.coverage},
        inputs={"best": best, "images": images},
        optional=best.optional,
    )
    return labels, sets


def _judged_rows(job: Job) -> np.ndarray:
    """Rows of the images that were predicted out of fold; none if that could not be."""
    best = job.inputs["best"]
    if reason := best.json("result")["reason"]:
        job.save_json("result", {"reason": reason})
        return np.empty(0, np.int64)
    return np.flatnonzero(best.array("folds") >= 0)


def build_label_errors(job: Job) -> Mapping[str, Any]:
    """Rank the labels; near-duplicates that disagree come first."""
    import pandas as pd

    from flowers17.small_data.label_errors import label_errors

    best, items, rows = job.inputs["best"], job.inputs["images"].json("items"), _judged_rows(job)
    if not len(rows):
        return {}
    labels, names, image_names = best.array("labels"), items["class_names"], items["names"]
    errors = label_errors(best.array("proba")[rows], labels[rows], job.seed)
    known = {(pair["first"], pair["second"]) for pair in job.inputs["duplicates"].json("pairs")}
    known = {pair for pair in known if np.isin(pair, rows).all()}
    pairs = [pair for pair in sorted(known) if len({*labels[list(pair)]}) == 2]
    twin = {row: image_names[other] for pair in pairs for row, other in (pair, pair[::-1])}
    table = pd.DataFrame(
        {
            "row": rows,
            "image": [image_names[row] for row in rows],
            "given": [names[label] for label in labels[rows]],
            "suggested": [names[label] for label in errors.suggested],
            "self_confidence": errors.self_confidence,
            "margin": errors.margin,
            "twin": [twin.get(row, "") for row in rows.tolist()],
        }
    )
    listed = table[errors.is_suspect | (table["twin"] != "")]
    order = errors.ranked(np.searchsorted(rows, pairs).tolist())
    ranked = listed.reindex([place for place in order if place in listed.index])
    facts: dict[str, Any] = {"n_images": len(rows), "n_suspects": int(errors.is_suspect.sum())}
    facts |= {"n_by_chance": list(errors.n_by_chance), "n_pairs": len(pairs)}
    facts["model"] = best.json("result")["judge"]["label"]
    shown = ranked.head(max(N_LISTED, len(twin))).to_dict("records")
    job.save_json("result", {"reason": "", **facts, "rows": shown})
    return {"n_suspects": facts["n_suspects"], "by chance": round(errors.n_by_chance[0], 1)}


def build_prediction_sets(job: Job) -> Mapping[str, Any]:
    """Calibrate the sets of each fold on the other folds, and measure what they cover."""
    from flowers17.reporting.metrics import Measured, accuracy_interval, clustered_interval
    from flowers17.small_data.conformal import class_thresholds, cross_conformal_sets

    best, coverage, rows = job.inputs["best"], job.config["coverage"], _judged_rows(job)
    if not len(rows):
        return {}
    labels, proba, folds, groups = (
        best.array(name)[rows] for name in ("labels", "proba", "folds", "groups")
    )
    names = job.inputs["images"].json("items")["class_names"]
    sets = cross_conformal_sets(proba, labels, folds, coverage)
    is_covered, sizes = sets[np.arange(len(rows)), labels], sets.sum(axis=1)

    def share(values: np.ndarray, own: np.ndarray) -> dict[str, Any]:
        return Measured(values.mean(), clustered_interval(values, own))._asdict()

    lines = [{"class": "all", "n_images": len(rows), "coverage": share(is_covered, groups)}]
    lines[0]["size"] = sizes.mean()
    thresholds = class_thresholds(proba, labels, coverage)
    for label in np.unique(labels).tolist():
        own = labels == label
        n_covered, n = int(is_covered[own].sum()), int(own.sum())
        covered = Measured(n_covered / n, accuracy_interval(n_covered, n))._asdict()
        line = {"class": names[label], "n_images": n, "coverage": covered}
        lines.append({**line, "size": sizes[own].mean(), "threshold": thresholds[label]})
    ranked = np.where(sets, -proba, 1).argsort(axis=1, kind="stable")
    largest = np.lexsort((proba.max(axis=1), -sizes))[:N_LARGEST].tolist()
    alone = sizes == 1
    job.save_json(
        "result",
        {
            "reason": "",
            "model": best.json("result")["judge"]["label"],
            "promised": coverage,
            "n_calibrating": len(rows) - int(np.bincount(folds).max()),
            "n_needed": int(np.ceil((1 - 1e-9) / (1 - coverage))) - 1,
            "several": 1 - alone.mean(),
            "right": share(is_covered[alone], groups[alone]) if alone.any() else None,
            "rows": lines,
            "largest": [
                {
                    "row": int(rows[k]),
                    "given": int(labels[k]),
                    "classes": ranked[k, : sizes[k]].tolist(),
                }
                for k in largest
            ],
        },
    )
    job.save_array("is-covered", is_covered)
    return {"coverage": round(float(is_covered.mean()), 4), "mean size": round(sizes.mean(), 3)}


def learning_curve_stage(
    settings: StudySettings,
    best: Stage,
    splits: Stage,
    duplicates: Stage,
    trainings: Mapping[str, Sequence[Stage]],
) -> Stage:
    """Stage of the learning curves of the best classifiers, and of networks.

    trainings: by network, on each share of each split, split by split.
    """
    own = settings.next_steps
    inputs = {"best": best, "splits": splits, "duplicates": duplicates}
    return Stage.of(
        "learning_curve",
        "learning curves",
        "tasks.next_steps:build_learning_curve",
        {
            "shares": sorted(set(own.shares)),
            "n_splits": own.n_splits,
            "networks": {name: [each.label for each in trainings[name]] for name in trainings},
            **weighting(settings),
        },
        seed=settings.seed,
        inputs=inputs | {each.label: each for stages in trainings.values() for each in stages},
        optional=best.optional,
    )


def share_stage(settings: StudySettings, share: float, split: Stage, duplicates: Stage) -> Stage:
    """Stage of a share of a split's training images, in the form of a fold: no table lists it."""
    return Stage.of(
        "share",
        f"{share:g} of {split.label}",
        "tasks.next_steps:build_share",
        {"share": share},
        seed=settings.seed,
        inputs={"split": split, "duplicates": duplicates},
    )


def build_share(job: Job) -> Mapping[str, Any]:
    """Write the rows of a share, nested in those of larger ones."""
    from flowers17.small_data.learning_curve import nested_parts

    split, groups = job.inputs["split"], job.inputs["duplicates"].array("groups")
    labels, share = split.array("labels"), job.config["share"]
    [train] = nested_parts(labels, groups, split.array("train"), [share], job.seed)
    job.save_json("split", {"name": f"{share:g} of {split.json('split')['name']}", "kind": "fold"})
    job.save_json("classes", split.json("classes"))
    arrays = {"labels": labels, "train": train, "validation": split.array("validation")}
    job.save_arrays(arrays)
    return {"n_train": len(train)}


def build_learning_curve(job: Job) -> Mapping[str, Any]:
    """Fit each model on growing shares of the splits' training images, and project its curve."""
    artifact = job.inputs["splits"]
    labels = artifact.array("labels")
    splits = [Split.from_json(value) for value in artifact.json("splits")["splits"]]
    clean = [split for split in splits if split.kind == "repeated"][: job.config["n_splits"]]
    clean = clean or splits[1:2]
    points: dict[str, Any] = {}
    models = job.inputs["best"].json("result")["models"]
    for model in models:
        points[model["label"]] = [list(_points(job, model, labels, split)) for split in clean]
        job.progress(len(points), len(models), "models")
    for name, roles in job.config["networks"].items():
        results = [job.inputs[role].json("result") for role in roles]
        trained = [
            (each["n_train"], first_measure(*(each[key] for key in _COUNTS))) for each in results
        ]
        points[name] = np.reshape(trained, (-1, len(job.config["shares"]), 2)).tolist()
    curves = [{"label": name, **_curve(of, clean, job.seed)} for name, of in points.items()]
    rows = [row for curve in curves for row in _rows(curve)]
    measure = "accuracy" if is_balanced(labels) else "balanced accuracy"
    result = {"reason": "", "measure": measure, "curves": curves, "rows": rows}
    job.save_json("result", result)
    ends = {curve["label"]: curve["projection"] for curve in curves if curve["projection"]}
    name = "{}, with twice the images"
    return {name.format(label): round(end["accuracy"], 4) for label, end in ends.items()}


def _points(
    job: Job, model: Mapping[str, Any], labels: np.ndarray, split: Split
) -> Iterator[Point]:
    """Yield the point of each share of a split's training images."""
    from flowers17.small_data.learning_curve import nested_parts

    groups, shares = job.inputs["duplicates"].array("groups"), job.config["shares"]
    parts = nested_parts(labels, groups, split.train, shares, job.seed)
    shared = [Split(split.name, split.kind, None, part, split.validation) for part in parts]
    truth = labels[split.validation]
    for part, fit in zip(parts, fits_of(job, model, labels, shared), strict=True):
        predicted = fit.proba(split.validation).argmax(axis=1)
        by_class = counts_by_class(labels, truth, predicted)
        yield len(part), first_measure(int((predicted == truth).sum()), len(truth), by_class)


def _curve(points: Sequence[Sequence[Point]], splits: Sequence[Split], seed: int) -> dict[str, Any]:
    """Accuracies by split and size of the training part, and what a power law makes of them.

    n_train: means over the splits; sizes that are equal count once. reason: why there is no
    projection. law: points of the power law up to the projection.
    """
    from flowers17.small_data.learning_curve import projection

    sizes, accuracies = np.moveaxis(np.array(points, dtype=np.float64), 2, 0)
    n_train, first = np.unique(sizes.mean(axis=0), return_index=True)
    accuracies, n_validation = accuracies[:, first], len(splits[0].validation)
    curve = {"accuracies": accuracies.tolist(), "n_train": n_train.tolist()}
    curve |= {"n_validation": n_validation, "projection": None, "reason": "", "law": []}
    ratio = n_validation / float(n_train.max())
    try:
        end = projection(n_train, accuracies, held_out_ratio=ratio, seed=seed)
    except InvalidInput as problem:
        return {**curve, "reason": str(problem)}
    n_images = np.linspace(n_train.min(), end.n_images, 60)
    law = np.column_stack([n_images, end.law.accuracy(n_images)]).tolist()
    return {**curve, "projection": asdict(end), "law": law}


def _rows(curve: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a model's table: what was measured, and the projection."""
    from flowers17.reporting.metrics import mean_spread

    for n_train, *accuracies in zip(curve["n_train"], *curve["accuracies"], strict=True):
        n_validation = curve["n_validation"]
        mean = mean_spread(accuracies, n_train=round(n_train), n_validation=n_validation)
        accuracy = {"value": mean.mean, "interval": mean.interval}
        line = {"group": curve["label"], "n_images": round(n_train), "accuracy": accuracy}
        yield {**line, "kind": "measured"}
    line = {"group": curve["label"], "n_images": round(2 * max(curve["n_train"]))}
    if not (end := curve["projection"]):
        yield {**line, "kind": curve["reason"]}
        return
    yield {
        **line,
        "accuracy": {"value": end["accuracy"], "interval": end["interval"]},
        "gain": {"value": end["gain"], "interval": end["gain_interval"]},
        "kind": "expected with twice the images",
    }
