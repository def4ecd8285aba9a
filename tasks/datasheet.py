"""Stage `datasheet`: counts, sizes, duplicates and digests of the data set."""

from collections.abc import Mapping
from typing import Any

from flowers17.data.datasheet import datasheet
from flowers17.stages import Job, Stage


def stage(images: Stage, duplicates: Stage, splits: Stage) -> Stage:
    """Stage of the data sheet."""
    return Stage.of(
        "datasheet",
        "datasheet",
        inputs={"images": images, "duplicates": duplicates, "splits": splits},
    )


def build(job: Job) -> Mapping[str, Any]:
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
