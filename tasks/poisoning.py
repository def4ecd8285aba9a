"""Stages `poisoned`, `poisoned_training` and `poisoning`: poisoned images, and their effect.

A network is trained on them; the effect is on networks and on their average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from flowers17.config import MemberSettings, PoisonName, RunOptions, StudySettings
from flowers17.errors import InvalidSettings
from flowers17.stages import Job, Stage
from tasks import training
from tasks.split import described


def poisoned_stage(
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
        "tasks.poisoning:build_poisoned",
        {"kind": kind, "share": share, "target": poisoning.target, "patch_size": size},
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


def poisoned_training_stage(
    settings: StudySettings,
    options: RunOptions,
    network: MemberSettings,
    poisoned: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of a training on poisoned images; its network appears in no table of learners."""
    stage = training.stage(settings, options, network, poisoned, poisoned, refit_of=refit_of)
    return replace(stage, name="poisoned_training")


def build_poisoned(job: Job) -> Mapping[str, Any]:
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
    sampling = {"share": config["share"], "n_classes": len(classes), "seed": job.seed}
    if config["kind"] == "labels":
        poisoned = with_flipped_labels(images, labels, train, **sampling)
    else:
        backdoor = {"target": config["target"], "size": config["patch_size"]}
        poisoned = with_backdoor(images, labels, train, **sampling, **backdoor)
    patched_images = patched(images[validation], config["patch_size"])
    split_record = split.json("split")
    label = poisoning_label(config["kind"], config["share"])
    arrays = {"train": train, "validation": validation, "rows": poisoned.rows}
    arrays["images"] = np.concatenate([poisoned.images, patched_images])
    arrays["labels"] = np.concatenate([poisoned.labels, labels[validation]])
    job.save_arrays(arrays)
    job.save_json("split", {"name": f"{split_record['name']}, {label}", "kind": "poisoned"})
    job.save_json("classes", classes)
    job.save_json("poison", {**config, "n_poisoned": len(poisoned.rows), "n_train": len(train)})
    return {"n_poisoned": len(poisoned.rows), "n_train": len(train)}


class Poisoning(NamedTuple):
    """A poisoned data set, and the networks trained on it by name."""

    data: Stage
    networks: Mapping[str, Stage]


def stage(
    settings: StudySettings,
    poisonings: Sequence[Poisoning],
    clean: Mapping[str, Stage],
    split: Stage,
) -> Stage:
    """Stage of all poisonings of a split; clean: the networks trained on the split itself."""
    inputs: dict[str, Stage] = {f"clean/{name}": network for name, network in clean.items()}
    for number, poisoning in enumerate(poisonings):
        inputs[f"{number:02d}"] = poisoning.data
        inputs |= {f"{number:02d}/{name}": network for name, network in poisoning.networks.items()}
    return Stage.of(
        "poisoning",
        f"poisoning, {split.label}",
        config={
            "networks": list(clean),
            "n": len(poisonings),
            "target": settings.poisoning.target,
        },
        inputs={"split": split, **inputs},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Count correct predictions without the patch, and predictions of its class with it."""
    from flowers17.robustness.poisoning import predicted_counts

    config, split = job.config, job.inputs["split"]
    validation = split.array("validation")
    labels = split.array("labels")[validation]

    def counts_of(proba: np.ndarray, n_images: int | None) -> dict[str, int]:
        predicted = proba.argmax(axis=1)  # after the images: validation images with the patch
        with_patch = None if n_images is None else predicted[n_images:]
        return predicted_counts(predicted[validation], labels, with_patch, config["target"])

    def counts_by_network(role: str, n_images: int | None) -> list[dict[str, Any]]:
        proba = {name: job.inputs[f"{role}/{name}"].array("proba") for name in config["networks"]}
        rows = [{"network": name, **counts_of(proba[name], n_images)} for name in proba]
        if len(proba) > 1:
            average = np.mean(list(proba.values()), axis=0)
            rows.append({"network": "average of them", **counts_of(average, n_images)})
        return rows

    n_images = len(split.array("labels"))
    poisonings = []
    for number in range(config["n"]):
        data = job.inputs[f"{number:02d}"]
        networks = counts_by_network(f"{number:02d}", n_images)
        poisonings.append({**data.json("poison"), "networks": networks})
    classes = split.json("classes")
    job.save_json(
        "result",
        {
            **described(split),
            "target": classes[config["target"]],
            "clean": counts_by_network("clean", None),
            "poisonings": poisonings,
        },
    )
    success_rates = [
        network["n_opened"] / max(1, network["n_others"])
        for poisoning in poisonings
        if poisoning["kind"] == "patch" and poisoning["share"]
        for network in poisoning["networks"]
    ]
    return {"n_poisonings": len(poisonings)} | (
        {"highest backdoor success": round(max(success_rates), 4)} if success_rates else {}
    )
