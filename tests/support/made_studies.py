"""Studies made by hand in real stores: a few predictions, and the results that go with them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact, Store
from flowers17.digests import canonical_json, sha256_of
from flowers17.reporting.studies.records import FORMAT

from .stores import publish

# Eight images of two classes; predictions are right unless `wrong` lists them.
LABELS = (0, 0, 0, 0, 1, 1, 1, 1)
HELD_OUT: Mapping[str, Sequence[int]] = {"report": range(8)}
FOLD = "fold-01"  # of an ensemble: the artifact of splits does not list it
WRONG: Mapping[str, Sequence[int]] = {"knn on mobilenet": (0,), "svm on mobilenet": (0, 1)}
SETTINGS: Mapping[str, Any] = {
    "seed": 17,
    "splits": {"n_repeats": 3},
    "features": {"svm": {"C": 10.0}},
}
HISTORY = [
    {"epoch": 1, "loss": 0.9, "accuracy": 0.5, "val_loss": 0.8, "val_accuracy": 0.625},
    {"epoch": 2, "loss": 0.4, "accuracy": 0.875, "val_loss": 0.5, "val_accuracy": 0.75},
]
LIBRARIES = {"keras": "3.12.0", "numpy": "2.4.0"}


def row(heading: str, group: str = "", **values: Any) -> dict[str, Any]:
    """Return a row of a table of `results.json`."""
    cells = {"model": heading, **values}
    return {
        **({"group": group} if group else {}),
        "cells": {name: {"value": value} for name, value in cells.items()},
    }


def results(rows: Sequence[Mapping[str, Any]] = (), **changes: Any) -> dict[str, Any]:
    """The content of a `results.json` with one Table 8."""
    return {
        "format": FORMAT,
        "data": {"source": "rendered", "digest": "d" * 64, "is_oxford17": False},
        "settings": SETTINGS,
        "tables": {"8": {"title": "Classifiers", "rows": list(rows)}},
        **changes,
    }


def _published(
    store: Store,
    stage: str,
    label: str,
    files: Mapping[str, bytes],
    inputs: Mapping[str, Artifact],
    *,
    material: Mapping[str, Any] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    metrics: Mapping[str, Any] | None = None,
) -> Artifact:
    materials = {
        "stage": stage,
        "version": 1,
        "config": {"label": label},
        "seed": 17,
        "inputs": {name: artifact.reference.digest for name, artifact in inputs.items()},
        "code": {f"tasks.{stage}": sha256_of(stage)},
        "libraries": LIBRARIES,
        **(material or {}),
        "made": [[sha256_of(artifact.hex()) for artifact in files.values()], created],
    }
    key = sha256_of(materials)
    return publish(
        store,
        key,
        files,
        stage=stage,
        label=label,
        created=created,
        inputs={name: artifact.reference.to_json() for name, artifact in inputs.items()},
        material=materials,
        **{"metrics": metrics or {}},
    )


def _json(value: Any) -> bytes:
    return canonical_json(value).encode()


def _npy(values: Sequence[int]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values, np.int64), allow_pickle=False)
    return stream.getvalue()


def made_study(
    root: Path,
    *,
    wrong: Mapping[str, Sequence[int]] = WRONG,
    held_out: Mapping[str, Sequence[int]] = HELD_OUT,
    label: str = "report",
    created: str = "2026-01-01T00:00:00Z",
    metrics: Mapping[str, Any] | None = None,
    part: Mapping[str, Any] | None = None,
    miscounted: int = 0,
    **content: Any,
) -> Path:
    """Publish a study with its images, splits, classifiers and trainings; return its folder.

    wrong: by label, which of the images are predicted wrongly; a label that names a split is a
    training's. part: changes of the material of every classifier and training. miscounted: by how
    much their results overstate what is right. content: of its `results.json`.
    """
    store = Store(root)
    images = _published(store, "images", "images@8", {"labels.npy": _npy(LABELS)}, {})
    rows = [{"name": name, "validation": list(held)} for name, held in held_out.items()]
    rows = [row for row in rows if row["name"] != FOLD]
    splits = _published(
        store, "splits", "splits", {"splits.json": _json({"splits": rows})}, {"images": images}
    )
    parts = {"images@8": images, "splits": splits}
    for name, images_wrong in wrong.items():
        stage = "training" if name.endswith(" split") else "classifier"
        files, scores = {}, []
        for split, held in held_out.items():
            predicted = [
                1 - LABELS[image] if image in images_wrong else LABELS[image] for image in held
            ]
            n_correct = sum(image not in images_wrong for image in held) + miscounted
            scores.append({"name": split, "n_correct": n_correct})
            files[f"{split}-predicted.npy"] = _npy(predicted)
        result: dict[str, Any] = {"splits": scores}
        if stage == "training":
            split = name.split(", ")[1].removesuffix(" split")
            count = next(score["n_correct"] for score in scores if score["name"] == split)
            result = {"split": split, "n_correct": count}
            files = {
                "validation-predicted.npy": files[f"{split}-predicted.npy"],
                "history.json": _json({"epochs": HISTORY}),
            }
        files["result.json"] = _json(result)
        parts[name] = _published(store, stage, name, files, {"splits": splits}, material=part)
    result_file = results(**content)
    artifact = _published(
        store,
        "study",
        label,
        {"results.json": _json(result_file)},
        parts,
        material={"config": {"settings": result_file["settings"]}},
        created=created,
        metrics=metrics,
    )
    return artifact.path
