"""Stage `features`: the feature maps of one extractor over all images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import FeatureMapSettings, Places, StudySettings
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import resolve_weights
from tasks import images, weights


def stage(settings: StudySettings, places: Places, one: FeatureMapSettings) -> Stage:
    """Return the stage of one extractor at one input size."""
    input_size = one.input_size or settings.dataset.image_size
    size = input_size if one.pixels == "original" else settings.dataset.image_size
    found = resolve_weights(one.extractor, places.weights_dir, weights=settings.features.weights)
    inputs = {"images": images.stage(settings, size)}
    resources = {}
    if found.kind == "download":
        inputs["weights"] = weights.stage(one.extractor)
    elif found.path:
        resources["weights"] = str(found.path)
    return Stage.of(
        "features",
        f"features {one.name}",
        "tasks.features:build",
        {
            "name": one.name,
            "extractor": one.extractor,
            "input_size": input_size,
            "pixels": one.pixels,
            "pooling": one.pooling,
            "weights": {"kind": found.kind, "sha256": found.sha256},
        },
        seed=settings.seed if found.kind == "random" else None,
        inputs=inputs,
        resources=resources,
        optional=found.kind == "download",
        isolated=True,
        tags=("features",),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Build the extractor and run the images through it."""
    from flowers17.transfer.extractors import build_extractor, feature_maps

    config = job.config
    path = job.resources.get("weights")
    if "weights" in job.inputs:
        path = next(job.inputs["weights"].path.glob("*.h5"))
    model = build_extractor(
        config["extractor"], input_size=config["input_size"], weights_path=path, seed=job.seed
    )
    features = feature_maps(
        model,
        job.inputs["images"].array("images"),
        extractor=config["extractor"],
        input_size=config["input_size"],
        pooling=config["pooling"],
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    job.save_array("features", features)
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
