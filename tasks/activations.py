"""Stage `activations`: what the frozen part of an extractor gives over all images."""

from collections.abc import Mapping
from typing import Any

from flowers17.config import FeatureMapSettings, Places, StudySettings
from flowers17.stages import Job, Stage
from flowers17.transfer.blocks import place_before
from tasks import features, weights


def stage(
    settings: StudySettings,
    places: Places,
    one: FeatureMapSettings,
    *,
    below: str | None = None,
    mirrored: bool = False,
) -> Stage:
    """Return the stage of the activations that the layers from a block on are given.

    below: the block; None: the whole extractor's feature map. mirrored: of the mirrored images.
    Raises InvalidSettings for a block that the extractor has not, or for images too small for it.
    """
    if below:
        place_before(one.extractor, below)
    whole = one.model_copy(update={"pooling": "flatten"})
    weights_from = weights.source(settings, places, one.extractor)
    label = f"activations {whole.name}"
    label += f" below {below}" if below else ""
    label += ", mirrored" if mirrored else ""
    return Stage.of(
        "activations",
        label,
        "tasks.activations:build",
        features.described(settings, whole, weights_from) | {"below": below, "mirrored": mirrored},
        seed=settings.seed if weights_from.are_random else None,
        inputs={"images": features.pictures(settings, one), **weights_from.inputs},
        resources=weights_from.resources,
        optional=weights_from.optional,
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
    found = feature_maps(
        lower,
        images[:, :, ::-1] if config["mirrored"] else images,
        extractor=config["extractor"],
        input_size=config["input_size"],
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    shape = lower.output_shape[1:]
    job.save_array("activations", found.reshape(len(found), *shape))
    return {"n_images": len(found), "shape": " × ".join(map(str, shape))}
