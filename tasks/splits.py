"""Stages `splits` and `datasheet`: the division of the data set, and a summary of it.

Splits are the report's, the clean one, the official ones, and clean repeats. The data sheet has
counts, sizes, duplicates and digests.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.config import StudySettings
from flowers17.data.archive import datasplits_file
from flowers17.data.datasheet import datasheet
from flowers17.data.splits import official_splits, study_splits
from flowers17.digests import file_sha256
from flowers17.stages import Job, Stage


def stage(settings: StudySettings, images: Stage, duplicates: Stage) -> Stage:
    """Stage of the splits; `datasplits.mat` beside the archive adds the official ones."""
    # What must stay together, an input, depends on the other settings already.
    config: dict[str, Any] = settings.splits.model_dump(
        include={"validation_fraction", "n_repeats"}
    )
    resources = {}
    source = images.resources.get("source")
    official = datasplits_file(Path(source)) if source and Path(source).is_file() else None
    if official:
        config["official"] = file_sha256(official)
        resources["official"] = str(official)
    return Stage.of(
        "splits",
        "splits",
        config=config,
        seed=settings.seed,
        inputs={"images": images, "duplicates": duplicates},
        resources=resources,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Split the images, and store the labels too, so that later stages need no images."""
    images = job.inputs["images"]
    labels, items = images.array("labels"), images.json("items")
    official = None
    if "official" in job.resources:
        official = official_splits(job.resources["official"], items["names"])
    splits = study_splits(
        labels,
        job.inputs["duplicates"].array("groups"),
        validation_fraction=job.config["validation_fraction"],
        n_repeats=job.config["n_repeats"],
        seed=job.seed,
        parts=items.get("parts", ()),
        official=official,
        class_names=items["class_names"],
    )
    job.save_json("splits", {"splits": [split.to_json() for split in splits]})
    job.save_array("labels", labels)
    job.save_json("classes", items["class_names"])
    return {"n_splits": len(splits)}


def datasheet_stage(images: Stage, duplicates: Stage, splits: Stage) -> Stage:
    """Stage of the data sheet."""
    return Stage.of(
        "datasheet",
        "datasheet",
        "tasks.splits:build_datasheet",
        inputs={"images": images, "duplicates": duplicates, "splits": splits},
    )


def build_datasheet(job: Job) -> Mapping[str, Any]:
    """Summarise the data set."""
    images = job.inputs["images"]
    sheet = datasheet(
        labels=images.array("labels"),
        items=images.json("items"),
        pairs=job.inputs["duplicates"].json("pairs"),
        splits=job.inputs["splits"].json("splits")["splits"],
    )
    job.save_json("datasheet", sheet)
    return {"n_images": sheet["n_images"], "n_classes": sheet["n_classes"]}
