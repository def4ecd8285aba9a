"""Stages `label_errors` and `prediction_sets`: what the judge's out-of-fold probabilities tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage

N_LISTED, N_LARGEST = 100, 12


def stages(
    settings: StudySettings, best: Stage, images: Stage, duplicates: Stage
) -> tuple[Stage, Stage]:
    """Stage of the labels that look wrong, and that of the conformal sets."""
    labels = Stage.of(
        "label_errors",
        "labels that look wrong",
        "tasks.judged:build_label_errors",
        seed=settings.seed,
        inputs={"best": best, "images": images, "duplicates": duplicates},
        optional=best.optional,
    )
    sets = Stage.of(
        "prediction_sets",
        "prediction sets",
        "tasks.judged:build_prediction_sets",
        {"coverage": settings.next_steps.coverage},
        inputs={"best": best, "images": images},
        optional=best.optional,
    )
    return labels, sets


def _rows(job: Job) -> np.ndarray:
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

    best, items, rows = job.inputs["best"], job.inputs["images"].json("items"), _rows(job)
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

    best, coverage, rows = job.inputs["best"], job.config["coverage"], _rows(job)
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
            "several": 1 - alone.mean(),
            "right": share(is_covered[alone], groups[alone]) if alone.any() else None,
            "rows": lines,
            "largest": [
                {"row": int(rows[k]), "classes": ranked[k, : sizes[k]].tolist()} for k in largest
            ],
        },
    )
    job.save_array("is-covered", is_covered)
    return {"coverage": round(float(is_covered.mean()), 4), "mean size": round(sizes.mean(), 3)}
