"""Stage `features`: the feature maps of one extractor over all images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import FeatureMapSettings, Places, StudySettings
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import check_input_size
from tasks import images, weights


def stage(settings: StudySettings, places: Places, one: FeatureMapSettings) -> Stage:
    """Return the stage of one extractor at one input size; raises as `described`."""
    weights_from = weights.source(settings, places, one.extractor)
    return Stage.of(
        "features",
        f"features {one.name}",
        "tasks.features:build",
        described(settings, one, weights_from) | {"mirrored": one.mirrored},
        seed=settings.seed if weights_from.are_random else None,
        inputs={"images": pictures(settings, one), **weights_from.inputs},
        resources=weights_from.resources,
        optional=weights_from.optional,
        isolated=True,
        tags=("features",),
    )


def pictures(settings: StudySettings, one: FeatureMapSettings) -> Stage:
    """Return the stage of the images that an extractor sees."""
    return images.stage(settings, pictured_size(settings, one))


def pictured_size(settings: StudySettings, one: FeatureMapSettings) -> int:
    """Return the side of the images that an extractor sees, before they are resized for it."""
    if one.pixels == "original":
        return input_size(settings, one)
    return settings.dataset.image_size


def input_size(settings: StudySettings, one: FeatureMapSettings) -> int:
    """Return the side of an extractor's input, in pixels."""
    return one.input_size or settings.dataset.image_size


def described(
    settings: StudySettings, one: FeatureMapSettings, weights_from: weights.Source
) -> dict[str, Any]:
    """Return what decides a feature map, beside the images.

    Raises InvalidSettings if the extractor cannot take images so small, unless a study may go on
    without it: then its build does.
    """
    size = input_size(settings, one)
    if not weights_from.optional:
        check_input_size(one.extractor, size)
    return {
        "name": one.name,
        "extractor": one.extractor,
        "input_size": size,
        "pixels": one.pixels,
        "pooling": one.pooling,
        "weights": dict(weights_from.config),
    }


def build(job: Job) -> Mapping[str, Any]:
    """Build the extractor and run the images through it."""
    from flowers17.transfer.extractors import feature_maps

    config = job.config
    model = weights.extractor(job)
    features = feature_maps(
        model,
        job.inputs["images"].mapped("images"),
        extractor=config["extractor"],
        input_size=config["input_size"],
        pooling=config["pooling"],
        mirrored=config["mirrored"],
        progress=lambda done, total: job.progress(done, total, "images"),
        allocate=lambda shape, dtype: job.new_array("features", shape, dtype),
    )
    trainable = [one for one in model.weights if not one.name.startswith("moving_")]
    job.save_json(
        "extractor",
        {
            **config,
            "map_shape": list(model.output_shape[1:]),
            "n_parameters": sum(int(np.prod(one.shape)) for one in trainable),
            "n_layers": len(model.layers),
            "random_weights": config["weights"]["kind"] == "random",
        },
    )
    return {"n_images": len(features), "n_columns": features.shape[1]}
