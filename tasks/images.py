"""Stage `images`: all images, decoded and square, as a uint8 array."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowers17.config import DatasetSettings, StudySettings
from flowers17.data.images import image_set
from flowers17.data.source import Source, dataset_source
from flowers17.stages import Job, Stage
from tasks import archive


def stage(settings: StudySettings, size: int) -> Stage:
    """Stage of the data set's images with sides of `size` pixels."""
    source = dataset_source(settings.dataset)
    config: dict[str, Any] = {"kind": source.kind, "digest": source.digest, "size": size}
    config |= resizing(settings)
    inputs, resources, seed = {}, {}, None
    if source.kind == "rendered":
        config["drawn"] = {
            "n_classes": settings.dataset.n_classes,
            "images_per_class": settings.dataset.images_per_class,
        }
        seed = settings.seed
    elif source.kind == "oxford17":
        inputs["archive"] = archive.stage()
    else:
        resources["source"] = str(source.path)
    # How files are read, where that is not as usual.
    reading = settings.dataset.model_dump(
        include={"columns", "links", "max_megapixels", "truncated"}, exclude_defaults=True
    )
    config |= {"reading": reading} if reading else {}
    return Stage.of(
        "images",
        f"images@{size}",
        config=config,
        seed=seed,
        inputs=inputs,
        resources=resources,
    )


def resizing(settings: StudySettings) -> dict[str, str]:
    """How images become squares, as part of a configuration; empty for central squares."""
    dataset = settings.dataset
    is_default = dataset.resize == "crop" or dataset_source(dataset).kind == "rendered"
    return {} if is_default else {"resize": dataset.resize}


def build(job: Job) -> Mapping[str, Any]:
    """Decode the source's images, or draw them."""
    reading = DatasetSettings(**job.config.get("reading", {}))
    source = Source(
        job.config["kind"],
        job.config["digest"],
        job.resources.get("source"),
        reading.columns,
        reading.links == "follow",
    )
    if "archive" in job.inputs:
        source = replace(source, path=job.inputs["archive"].file(archive.FILE_NAME))
    images = image_set(
        source,
        size=job.config["size"],
        resize=job.config.get("resize", "crop"),
        **job.config.get("drawn", {}),
        seed=job.seed,
        max_pixels=reading.max_megapixels * 10**6,
        reads_cut=reading.truncated == "read",
        progress=lambda n_done, n_images: job.progress(n_done, n_images, "images"),
        allocate=lambda shape, dtype: job.new_array("images", shape, dtype),
    )
    job.save_array("labels", images.labels)
    job.save_json("items", images.items())
    job.save_json("notes", images.source.get("notes", []))
    depth = {name: images.source[name] for name in ("depth",) if name in images.source}
    return {"n_images": len(images.labels), "n_classes": len(images.class_names), **depth}
