"""Stages `poisoned` and `poisoned_training`: poisoned images, and a network trained on them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.config import Places, PoisonName, StudySettings
from flowers17.errors import InvalidSettings
from flowers17.stages import Job, Stage
from tasks import training
from tasks.training import Training


def stage(
    settings: StudySettings, kind: PoisonName, share: float, images: Stage, split: Stage
) -> Stage:
    """Return the stage of a split with a share of its training images poisoned.

    Its artifact is one of images and one of a split as well. Behind the data set's images stand
    its validation images once more, with the patch on them.
    """
    ours = settings.poisoning
    size = max(1, round(ours.patch_size * settings.dataset.image_size))
    return Stage.of(
        "poisoned",
        f"{split.label}, {described(kind, share)}",
        "tasks.poisoned:build",
        {"kind": kind, "share": share, "target": ours.target, "patch_size": size},
        seed=settings.seed,
        inputs={"images": images, "split": split},
    )


def described(kind: PoisonName, share: float) -> str:
    """Return how labels call a poisoning.

    >>> described("labels", 0.05), described("patch", 0.1), described("patch", 0)
    ('5 % labels flipped', '10 % with a patch', 'not poisoned')
    """
    what = {"labels": "labels flipped", "patch": "with a patch"}[kind]
    return f"{100 * share:g} % {what}" if share else "not poisoned"


def trained_on(
    settings: StudySettings,
    places: Places,
    one: Training,
    poisoned: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Return the stage of a training on poisoned images; it is no model of the study's tables."""
    found = training.stage(settings, places, one, poisoned, poisoned, refit_of=refit_of)
    return replace(found, name="poisoned_training")


def build(job: Job) -> Mapping[str, Any]:
    """Poison the training images, and set patched validation images behind all."""
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
    drawn: dict[str, Any] = {
        "share": config["share"],
        "n_classes": len(classes),
        "seed": job.seed,
    }
    if config["kind"] == "labels":
        found = with_flipped_labels(images, labels, train, **drawn)
    else:
        backdoor = {"target": config["target"], "size": config["patch_size"]}
        found = with_backdoor(images, labels, train, **drawn, **backdoor)
    marked = patched(images[validation], config["patch_size"])
    whole = split.json("split")
    kind = described(config["kind"], config["share"])
    job.save_array("images", np.concatenate([found.images, marked]))
    job.save_array("labels", np.concatenate([found.labels, labels[validation]]))
    job.save_array("train", train)
    job.save_array("validation", validation)
    job.save_array("rows", found.rows)
    job.save_json("split", {"name": f"{whole['name']}, {kind}", "kind": "poisoned"})
    job.save_json("classes", classes)
    job.save_json("poison", {**config, "n_poisoned": len(found.rows), "n_train": len(train)})
    return {"n_poisoned": len(found.rows), "n_train": len(train)}
