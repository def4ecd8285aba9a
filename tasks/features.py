"""Stage `features`: the feature maps of one extractor over all images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.backbones.facts import backbone_of
from flowers17.config import FeatureMapSettings, RunOptions, StudySettings
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import check_input_size
from tasks import images, weights


def stage(settings: StudySettings, options: RunOptions, feature_map: FeatureMapSettings) -> Stage:
    """Stage of a feature map; raises as `configuration` does."""
    weights_from = weights.source(settings, options, feature_map)
    return Stage.of(
        "features",
        f"features {feature_map.name}",
        config=configuration(settings, feature_map, weights_from)
        | {"mirrored": feature_map.mirrored},
        seed=weights_from.seed,
        inputs={"images": image_stage(settings, feature_map), **weights_from.inputs},
        resources=weights_from.resources,
        isolated=True,
        tags=("features",),
    )


def image_stage(settings: StudySettings, feature_map: FeatureMapSettings) -> Stage:
    """Stage of the images that an extractor reads."""
    return images.stage(settings, image_size(settings, feature_map))


def image_size(settings: StudySettings, feature_map: FeatureMapSettings) -> int:
    """Side in pixels of the images that an extractor reads, before they are resized for it."""
    if feature_map.pixels == "original":
        return feature_map.input_size or settings.dataset.image_size
    return settings.dataset.image_size


def configuration(
    settings: StudySettings, feature_map: FeatureMapSettings, weights_from: weights.Source
) -> dict[str, Any]:
    """Configuration of a feature map, beside the images.

    Raises InvalidSettings if the input size is too small for the extractor; for an optional stage
    its build does.
    """
    size = feature_map.input_size or settings.dataset.image_size
    if not weights_from.optional:
        check_input_size(feature_map.extractor, size)
    return {
        "name": feature_map.name,
        "extractor": backbone_of(feature_map.extractor).short_name,
        "input_size": size,
        "pixels": feature_map.pixels,
        "pooling": feature_map.pooling,
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
        progress=lambda n_done, n_images: job.progress(n_done, n_images, "images"),
        allocate=lambda shape, dtype: job.new_array("features", shape, dtype),
    )
    trainable = [weight for weight in model.weights if not weight.name.startswith("moving_")]
    job.save_json(
        "extractor",
        {
            **config,
            "map_shape": list(model.output_shape[1:]),
            "n_parameters": sum(int(np.prod(weight.shape)) for weight in trainable),
            "n_values": model.count_params(),
            "n_layers": len(model.layers),
            "random_weights": config["weights"]["kind"] == "random",
        },
    )
    return {"n_images": len(features), "n_columns": features.shape[1]}
