"""Stage `activations`: activations of the frozen part of an extractor over all images."""

from collections.abc import Mapping
from typing import Any

from flowers17.config import FeatureMapSettings, RunOptions, StudySettings
from flowers17.stages import Job, Stage
from tasks import features, weights


def stage(
    settings: StudySettings,
    options: RunOptions,
    feature_map: FeatureMapSettings,
    *,
    below: str | None = None,
    mirrored: bool = False,
) -> Stage:
    """Stage of the activations below a block of an extractor.

    below: of `Cuts.name_of`; None: the whole extractor's feature map. mirrored: of the mirrored
    images.
    Raises InvalidSettings for images too small for the extractor.
    """
    unpooled = feature_map.model_copy(update={"pooling": "flatten"})
    weights_from = weights.source(settings, options, feature_map)
    label = f"activations {unpooled.name}"
    label += f" below {below}" if below else ""
    label += ", mirrored" if mirrored else ""
    return Stage.of(
        "activations",
        label,
        config=features.configuration(settings, unpooled, weights_from)
        | {"below": below, "mirrored": mirrored},
        seed=weights_from.seed,
        inputs={"images": features.image_stage(settings, feature_map), **weights_from.inputs},
        resources=weights_from.resources,
        isolated=True,
        tags=("features",),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Build the frozen part and run the images through it."""
    from flowers17.transfer.extractors import feature_maps
    from flowers17.transfer.fine_tuning import cut

    config = job.config
    images = job.inputs["images"].mapped("images")
    lower, _ = cut(weights.extractor(job), config["extractor"], config["below"])
    activations = feature_maps(
        lower,
        images[:, :, ::-1] if config["mirrored"] else images,
        extractor=config["extractor"],
        input_size=config["input_size"],
        progress=lambda n_done, n_images: job.progress(n_done, n_images, "images"),
    )
    shape = lower.output_shape[1:]
    job.save_array("activations", activations.reshape(len(activations), *shape))
    return {"n_images": len(activations), "shape": " × ".join(map(str, shape))}
