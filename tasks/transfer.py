"""Stage `transfer`: adversarial images of one network, the surrogate, on every other model."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.config import RunOptions, StudySettings
from flowers17.errors import InvalidInput
from flowers17.learners.devices import device_in
from flowers17.learners.images import scaled
from flowers17.stages import Job, Stage
from tasks.attack import VictimStages, loader_of, own_learners, weights_folder
from tasks.long_work import long_work
from tasks.split import described

if TYPE_CHECKING:
    from flowers17.prediction.attacked import AttackedModel


def stage(
    settings: StudySettings,
    options: RunOptions,
    attacks: Sequence[Stage],
    victims: Sequence[VictimStages],
    split: Stage,
) -> Stage:
    """Stage of the transfer attacks on a split's validation images.

    attacks: stages whose adversarial images are transferred. victims: the models that they are
    shown to. The stage is built from those of both that succeed.
    """
    device = device_in(options)
    return Stage.of(
        "transfer",
        f"transfer, {split.label}",
        config={
            "sources": [attack.label for attack in attacks],
            "victims": [{"name": victim.name, "method": victim.method} for victim in victims],
            "images_per_batch": settings.attacks.images_per_batch,
            "device": device,
            **own_learners(*(victim.model for victim in victims)),
        },
        seed=settings.seed,
        inputs={
            "split": split,
            **{attack.label: attack for attack in attacks},
            **{f"images of {attack.label}": attack.inputs["images"] for attack in attacks},
            **{f"model {victim.name}": victim.model for victim in victims},
        },
        resources=weights_folder(options),
        tolerant=True,
        **long_work("attack", device),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Predict every set of adversarial images with every model; count the images that withstand."""
    from flowers17.prediction.attacked import AttackedModel

    config, split = job.config, job.inputs["split"]
    sources = [job.inputs[label] for label in config["sources"] if label in job.inputs]
    victims = [victim for victim in config["victims"] if f"model {victim['name']}" in job.inputs]
    if not sources:
        raise InvalidInput(
            "transfer: expected at least one attack whose images are shown to others, got none: "
            f"{', '.join(job.missing)} failed; mend that and run again"
        )
    rows = sources[0].array("rows")
    labels, loader = split.array("labels")[rows], loader_of(job)
    clean = [job.inputs[f"images of {source.manifest['label']}"] for source in sources]
    sizes = list({images.reference.key: images for images in clean}.values())
    image_sets = [images.array("images")[rows] for images in sizes]
    image_sets += [source.array("adversarial") for source in sources]
    kinds, predicted = [], []
    for number, victim in enumerate(victims):
        model = AttackedModel(job.inputs[f"model {victim['name']}"], loader, victim["method"])
        kinds.append(model.kind)
        predicted.append(_predicted_classes(job, model, image_sets, number, len(victims)))
    classes = np.stack(predicted, axis=1)
    keys = [images.reference.key for images in sizes]
    before = classes[[keys.index(images.reference.key) for images in clean]]
    after = classes[len(sizes) :]
    right = before == labels
    robust = right & (after == labels)
    results = [source.json("result") for source in sources]
    job.save_json(
        "result",
        {
            **described(split),
            "n_images": len(rows),
            "missing": job.missing,
            "victims": [
                {**victim, "kind": kind} for victim, kind in zip(victims, kinds, strict=True)
            ],
            "sources": [
                {
                    "model": result["model"],
                    "attack": result["attack"],
                    "budget": result["settings"]["budget"],
                    "image_size": result["image_size"],
                    "n_right": right[number].sum(axis=1).tolist(),
                    "n_withstood": robust[number].sum(axis=1).tolist(),
                }
                for number, result in enumerate(results)
            ],
        },
    )
    job.save_array("rows", rows)
    job.save_array("labels", labels)
    job.save_array("predicted-before", before)
    job.save_array("predicted", after)
    return {"n_sources": len(sources), "n_models": len(victims)}


def _predicted_classes(
    job: Job, model: "AttackedModel", image_sets: Sequence[np.ndarray], number: int, n_models: int
) -> np.ndarray:
    """Classes that a model predicts for sets of n images each: int64 (sets, n)."""
    from flowers17.robustness.batches import resumed_arrays

    n = len(image_sets[0])

    def compute(batch: slice) -> dict[str, np.ndarray]:
        predicted = [model.proba(scaled(images[batch])).argmax(axis=1) for images in image_sets]
        return {"predicted": np.stack(predicted, axis=1).astype(np.int64)}

    arrays = resumed_arrays(
        job.unfinished / f"{number:03d}",
        n,
        job.config["images_per_batch"],
        compute,
        progress=lambda n_done, _: job.progress(number * n + n_done, n_models * n, "images"),
    )
    return arrays["predicted"].T
