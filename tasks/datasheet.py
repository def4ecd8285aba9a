"""Stage `datasheet`: counts, sizes, duplicates and digests of the data."""

from collections.abc import Mapping
from typing import Any

from flowers17.data.datasheet import datasheet
from flowers17.data.duplicates import Pair
from flowers17.data.images import ImageSet
from flowers17.data.splits import Split
from flowers17.stages import Job, Stage


def stage(images: Stage, duplicates: Stage, splits: Stage) -> Stage:
    """Return the stage of the data sheet."""
    return Stage.of(
        "datasheet",
        "datasheet",
        "tasks.datasheet:build",
        inputs={"images": images, "duplicates": duplicates, "splits": splits},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Describe the data."""
    stored = job.inputs["images"]
    images = ImageSet.of(stored.array("images"), stored.array("labels"), stored.json("items"))
    listed = job.inputs["duplicates"].json("pairs")
    pairs = [(Pair(one["first"], one["second"], one["distance"]), one["method"]) for one in listed]
    sheet = datasheet(
        images,
        [pair for pair, _ in pairs],
        [Split.from_json(one) for one in job.inputs["splits"].json("splits")["splits"]],
        known=[pair for pair, method in pairs if method == "known"],
    )
    job.save_json("datasheet", sheet)
    return {"n_images": sheet["n_images"], "n_classes": sheet["n_classes"]}
