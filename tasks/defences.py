"""Stage `defences`: a network with each defence, under unaware and aware attackers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.config import (
    AdversarySettings,
    DefenceSettings,
    DetectorSettings,
    RunOptions,
    StudySettings,
)
from flowers17.learners.devices import device_in
from flowers17.stages import Job, Stage
from tasks.attack import loader_of, own_learners
from tasks.long_work import long_work
from tasks.split import described

if TYPE_CHECKING:
    import keras

    from flowers17.robustness.defences import Defence


def stage(
    settings: StudySettings,
    options: RunOptions,
    name: str,
    network: Stage,
    hardened: Sequence[Stage],
    images: Stage,
    split: Stage,
) -> Stage:
    """Stage of a network's defences, on a split's validation images.

    hardened: the same network, trained anew as the control, and against each adversary of the
    settings, in their order.
    """
    defences, attacks = settings.defences, settings.attacks
    device = device_in(options)
    return Stage.of(
        "defences",
        f"defences of {name}, {split.label}",
        config={
            "network": name,
            "settings": defences.model_dump(mode="json", exclude={"networks"}),
            "pgd_steps": attacks.pgd_steps,
            "pgd_search": {"restarts": attacks.pgd_restarts, "losses": attacks.pgd_losses},
            "n_images": attacks.n_images,
            "sample": settings.seed,
            "images_per_batch": attacks.images_per_batch,
            "device": device,
            **own_learners(network, *hardened),
        },
        seed=settings.seed,
        inputs={"network": network, "images": images, "split": split}
        | {role: each for (role, _), each in zip(trained_against(defences), hardened, strict=True)},
        **long_work("attack", device),
    )


def trained_against(defences: DefenceSettings) -> list[tuple[str, AdversarySettings | None]]:
    """Inputs of networks trained anew, and against what; None, nothing, for the others' control."""
    against = [(f"against {adversary.name}", adversary) for adversary in defences.adversaries]
    return [("control", None), *against] if against else []


def build(job: Job) -> Mapping[str, Any]:
    """Attack the network with each defence batch by batch, and count the images that withstand."""
    from flowers17.learners.images import scaled
    from flowers17.prediction.networks import Network
    from flowers17.robustness.batches import resumed_arrays
    from flowers17.robustness.sampling import attacked_rows

    config, split = job.config, job.inputs["split"]
    loader = loader_of(job)
    network = Network(job.inputs["network"], loader).differentiable
    # The backend reads the device when it is imported, which these modules do.
    from flowers17.robustness import defences
    from flowers17.robustness.base import batch_size
    from flowers17.robustness.goals import robust_mask

    settings = DefenceSettings.model_validate(config["settings"])
    images, labels = job.inputs["images"].array("images"), split.array("labels")
    rows = attacked_rows(labels, split.array("validation"), config["n_images"], config["sample"])
    candidates: list[Defence] = [defences.no_defence(network)]
    for role, adversary in trained_against(settings):
        hardened = Network(job.inputs[role], loader).differentiable
        name = adversary.name if adversary else None
        candidates.append(defences.hardened_defence(name, hardened, network))
    candidates += [defences.filter_defence(smoothing, network) for smoothing in settings.filters]
    candidates += [
        _detector_defence(job, number, detector, network, images, labels)
        for number, detector in enumerate(settings.detectors)
    ]

    # A smaller batch would be filled up with zeros.
    n_per_batch = max(config["images_per_batch"], batch_size(images.shape))
    arrays = resumed_arrays(
        job.unfinished / "attacks",
        len(rows),
        n_per_batch,
        lambda batch: defences.predictions_under_attack(
            candidates,
            scaled(images[rows[batch]]),
            labels[rows[batch]],
            settings.budgets,
            n_steps=config["pgd_steps"],
            seed=job.seed,
            **config["pgd_search"],
        ),
        progress=lambda n_done, n_total: job.progress(n_done, n_total, "images"),
    )
    summaries = []
    for number, defence in enumerate(candidates):
        answers = arrays[f"{number:02d}-before"], arrays[f"{number:02d}-after"], labels[rows]
        arrays[f"{number:02d}-withstood"] = robust_mask(*answers)
        summaries.append(defences.defence_summary(defence, *answers, settings.budgets))
    job.save_json(
        "result",
        {
            **config,
            **described(split),
            "image_size": int(images.shape[1]),
            "n_images": len(rows),
            "defences": summaries,
        },
    )
    job.save_arrays({**arrays, "rows": rows, "labels": labels[rows]})
    best = max(summaries, key=lambda summary: summary["worst"][-1]["n_withstood"])
    return {"n_defences": len(summaries), "best at the largest budget": best["name"]}


def _detector_defence(
    job: Job,
    number: int,
    settings: DetectorSettings,
    network: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
) -> "Defence":
    """Train a detector on the split's training images, clean and adversarial."""
    from flowers17.learners.images import scaled
    from flowers17.learners.training import train
    from flowers17.robustness import defences, detector
    from flowers17.robustness.base import batch_size
    from flowers17.robustness.batches import resumed_arrays
    from flowers17.seeds import derived_seed, generator

    split = job.inputs["split"]
    rows = split.array("train")
    adversarial = resumed_arrays(
        job.unfinished / f"{number:02d}-images",
        len(rows),
        max(job.config["images_per_batch"], batch_size(images.shape)),
        lambda batch: detector.adversarial_images(
            network,
            scaled(images[rows[batch]]),
            labels[rows[batch]],
            settings.budgets,
            n_steps=job.config["pgd_steps"],
            seed=job.seed,
        ),
        progress=lambda n_done, n_total: job.progress(n_done, n_total, "images for the detector"),
    )
    order = generator(job.seed, "detector", "held out").permutation(len(rows))
    n_held_out = max(1, round(settings.held_out * len(rows)))
    held_out_rows, train_rows = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
    seed = derived_seed(job.seed, "detector", number)
    model = detector.initial_detector(images.shape[1], seed)
    train(
        model,
        detector.examples(images[rows], list(adversarial.values()), train_rows, held_out_rows),
        settings.recipe,
        "none",
        seed=seed,
        folder=job.unfinished / f"{number:02d}-detector",
    )
    clean_scores = detector.adversarial_scores(model, scaled(images[rows[held_out_rows]]))
    threshold = detector.refusal_threshold(clean_scores, settings.false_alarms)
    return defences.detector_defence(settings.name, network, model, threshold)
