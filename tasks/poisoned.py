"""Stages `poisoned` and `poisoned_training`: poisoned images, and a network trained on them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.config import PoisonName, RunOptions, StudySettings
from flowers17.errors import InvalidSettings
from flowers17.stages import Job, Stage
from tasks import training
from tasks.training import Training


def stage(
    settings: StudySettings, kind: PoisonName, share: float, images: Stage, split: Stage
) -> Stage:
    """Stage of a split with a share of its training images poisoned.

    Its artifact serves as images and as a split. The data set's images are followed by copies of
    the validation images with the patch.
    """
    poisoning = settings.poisoning
    size = max(1, round(poisoning.patch_size * settings.dataset.image_size))
    return Stage.of(
        "poisoned",
        f"{split.label}, {poisoning_label(kind, share)}",
        config={"kind": kind, "share": share, "target": poisoning.target, "patch_size": size},
        seed=settings.seed,
        inputs={"images": images, "split": split},
    )


def poisoning_label(kind: PoisonName, share: float) -> str:
    """Name of a poisoning in labels.

    >>> poisoning_label("labels", 0.05), poisoning_label("patch", 0.1), poisoning_label("patch", 0)
    ('5 % labels flipped', '10 % with a patch', 'not poisoned')
    """
    kind_label = {"labels": "labels flipped", "patch": "with a patch"}[kind]
    return f"{100 * share:g} % {kind_label}" if share else "not poisoned"


def training_stage(
    settings: StudySettings,
    options: RunOptions,
    clean_training: Training,
    poisoned: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of a training on poisoned images; its network appears in no table of learners.

    clean_training: the same training on clean images.
    """
    stage = training.stage(settings, options, clean_training, poisoned, poisoned, refit_of=refit_of)
    return replace(stage, name="poisoned_training")


def build(job: Job) -> Mapping[str, Any]:
    """Poison the training images, and append copies of the validation images with the patch."""
    from flowers17.robustness.poisoning import patched, with_backdoor, with_flipped_labels

    config, split = job.config, job.inputs["split"]
    images, labels = job.inputs["images"].array("images"), split.array("labels")
    train, validation = split.array("train"), split.array("validation")
    classes = split.json("classes")
    if config["target"] >= len(classes):
        raise InvalidSettings(
            f"poisoning.target: expected a class from 0 to {len(classes) - 1}, got "
            f"{config['target']}; lower it"
        )
    sampling: dict[str, Any] = {
        "share": config["share"],
        "n_classes": len(classes),
        "seed": job.seed,
    }
    if config["kind"] == "labels":
        poisoned = with_flipped_labels(images, labels, train, **sampling)
    else:
        backdoor = {"target": config["target"], "size": config["patch_size"]}
        poisoned = with_backdoor(images, labels, train, **sampling, **backdoor)
    patched_images = patched(images[validation], config["patch_size"])
    split_record = split.json("split")
    label = poisoning_label(config["kind"], config["share"])
    job.save_array("images", np.concatenate([poisoned.images, patched_images]))
    job.save_array("labels", np.concatenate([poisoned.labels, labels[validation]]))
    job.save_array("train", train)
    job.save_array("validation", validation)
    job.save_array("rows", poisoned.rows)
    job.save_json("split", {"name": f"{split_record['name']}, {label}", "kind": "poisoned"})
    job.save_json("classes", classes)
    job.save_json("poison", {**config, "n_poisoned": len(poisoned.rows), "n_train": len(train)})
    return {"n_poisoned": len(poisoned.rows), "n_train": len(train)}
