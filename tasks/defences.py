"""Stage `defences`: a network behind each defence, attacked by who knows of it and who does not."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.config import DefenceSettings, DetectorSettings, Places, StudySettings
from flowers17.learners.devices import device_in
from flowers17.stages import Job, Stage
from tasks.attack import loader_of, own_learners
from tasks.long_work import long_work

if TYPE_CHECKING:
    import keras

    from flowers17.robustness.defences import Defence


def stage(
    settings: StudySettings,
    places: Places,
    name: str,
    network: Stage,
    hardened: Sequence[Stage],
    images: Stage,
    split: Stage,
) -> Stage:
    """Return the stage of a network's defences, on a split's validation images.

    hardened: the same network, trained against each adversary of the settings, in their order.
    """
    ours, attacks = settings.defences, settings.attacks
    device = device_in(places)
    return Stage.of(
        "defences",
        f"defences of {name}, {split.label}",
        "tasks.defences:build",
        {
            "network": name,
            "settings": ours.model_dump(mode="json", exclude={"networks"}),
            "pgd_steps": attacks.pgd_steps,
            "n_images": attacks.n_images,
            "images_per_batch": attacks.images_per_batch,
            "device": device,
            **own_learners(network, *hardened),
        },
        seed=settings.seed,
        inputs={"network": network, "images": images, "split": split}
        | {
            f"against {one.name}": stage
            for one, stage in zip(ours.adversaries, hardened, strict=True)
        },
        **long_work("attack", device),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Attack the network behind each defence, batch by batch, and count what withstands."""
    from flowers17.learners.images import scaled
    from flowers17.prediction.networks import Network
    from flowers17.robustness.batches import resumed
    from flowers17.robustness.sampling import attacked_rows

    config, split = job.config, job.inputs["split"]
    loader = loader_of(job)
    network = Network(job.inputs["network"], loader).differentiable
    # The backend reads the device when it is imported, which these modules do.
    from flowers17.robustness import defences
    from flowers17.robustness.base import batch_size

    settings = DefenceSettings.model_validate(config["settings"])
    every, labels = job.inputs["images"].array("images"), split.array("labels")
    rows = attacked_rows(labels, split.array("validation"), config["n_images"], job.seed)
    every_defence: list[Defence] = [defences.undefended(network)]
    for one in settings.adversaries:
        hardened = Network(job.inputs[f"against {one.name}"], loader).differentiable
        every_defence.append(defences.trained_against(one.name, hardened, network))
    every_defence += [defences.filtered(one, network) for one in settings.filters]
    every_defence += [
        _detected(job, number, one, network, every, labels)
        for number, one in enumerate(settings.detectors)
    ]

    # Fewer than are computed at once would be filled up with nothing.
    n_at_once = max(config["images_per_batch"], batch_size(every.shape))
    found = resumed(
        job.unfinished / "attacks",
        len(rows),
        n_at_once,
        lambda part: defences.attacked(
            every_defence,
            scaled(every[rows[part]]),
            labels[rows[part]],
            settings.budgets,
            n_steps=config["pgd_steps"],
            seed=job.seed,
        ),
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    summaries = [
        defences.summary(
            one,
            found[f"{number:02d}-before"],
            found[f"{number:02d}-after"],
            labels[rows],
            settings.budgets,
        )
        for number, one in enumerate(every_defence)
    ]
    described = split.json("split")
    job.save_json(
        "result",
        {
            **config,
            "split": described["name"],
            "split_kind": described["kind"],
            "classes": split.json("classes"),
            "image_size": int(every.shape[1]),
            "n_images": len(rows),
            "defences": summaries,
        },
    )
    for name, array in {**found, "rows": rows, "labels": labels[rows]}.items():
        job.save_array(name, array)
    best = max(summaries, key=lambda one: one["worst"][-1]["n_withstood"])
    return {"n_defences": len(summaries), "best at the largest budget": best["name"]}


def _detected(
    job: Job,
    number: int,
    settings: DetectorSettings,
    network: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
) -> "Defence":
    """Train a detector on the split's training images and what attacks make of them."""
    from flowers17.learners.images import scaled
    from flowers17.learners.training import train
    from flowers17.robustness import defences, detector
    from flowers17.robustness.base import batch_size
    from flowers17.robustness.batches import resumed
    from flowers17.seeds import derived_seed, generator

    split = job.inputs["split"]
    rows = split.array("train")
    made = resumed(
        job.unfinished / f"{number:02d}-images",
        len(rows),
        max(job.config["images_per_batch"], batch_size(images.shape)),
        lambda part: detector.adversarial_images(
            network,
            scaled(images[rows[part]]),
            labels[rows[part]],
            settings.budgets,
            n_steps=job.config["pgd_steps"],
            seed=job.seed,
        ),
        progress=lambda done, total: job.progress(done, total, "images for the detector"),
    )
    order = generator(job.seed, "detector", "held out").permutation(len(rows))
    n_held_out = max(1, round(settings.held_out * len(rows)))
    held_out, seen = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
    seed = derived_seed(job.seed, "detector", number)
    found = detector.untrained(images.shape[1], seed)
    train(
        found,
        detector.examples(images[rows], list(made.values()), seen, held_out),
        settings.recipe,
        "none",
        seed=seed,
        folder=job.unfinished / f"{number:02d}-detector",
    )
    clean = detector.scores(found, scaled(images[rows[held_out]]))
    refused_from = detector.threshold(clean, settings.false_alarms)
    return defences.detected(settings.name, network, found, refused_from)
