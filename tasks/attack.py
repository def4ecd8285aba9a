"""Stages `attack` and `transfer`: an attack on a model, and its images shown to other models.

An attack is made at every budget, and resumes from its last batch. Transfer is of the adversarial
images of one network, the surrogate. One long module, since both open models and take images alike.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowers17.backbones.facts import backbone_of
from flowers17.config import AttackName, AttackSettings, RunOptions, StudySettings
from flowers17.errors import InvalidInput
from flowers17.learners.devices import device_in
from flowers17.learners.networks import check_size, known_builder, module_of
from flowers17.prediction.models import Loader
from flowers17.stages import Job, Stage, in_order
from tasks.long_work import long_work
from tasks.split import described

if TYPE_CHECKING:
    from flowers17.prediction.attacked import AttackedModel

WHITE_BOX: tuple[AttackName, ...] = ("fgsm", "pgd", "targeted", "jsma")
BLACK_BOX: tuple[AttackName, ...] = ("one_pixel", "exploratory")
TARGETED: tuple[AttackName, ...] = ("targeted", "jsma")
SWEPT: tuple[AttackName, ...] = ("noise", "fgsm", "pgd")


class VictimStages(NamedTuple):
    """The stages of a victim model: of the model itself, and of the images that it is attacked on.

    is_network: whether it has gradients, for white-box attacks. images: of the size at which it is
    attacked. method: of an ensemble, the method that combines its members.
    """

    name: str
    model: Stage
    images: Stage
    is_network: bool
    method: str | None = None


def weights_folder(options: RunOptions) -> dict[str, str]:
    """Resources that opening a model needs beside its artifact: weights of extractors."""
    return {"weights_dir": str(options.weights_dir)} if options.weights_dir else {}


def stage(
    settings: StudySettings,
    options: RunOptions,
    attack: AttackName,
    victim: VictimStages,
    split: Stage,
) -> Stage:
    """Stage of one attack on one model, on a split's validation images."""
    device, exploratory = device_in(options), attack == "exploratory"
    names = {"n_images", "images_per_batch"}  # of the settings that the attack depends on
    if attack in SWEPT:
        names |= {"budgets", "budget"}
    if attack in ("pgd", "targeted"):
        names |= {"pgd_steps", "budget"}
    if attack in ("pgd", "exploratory"):
        names |= {"pgd_steps", "pgd_restarts", "pgd_losses"}
    if attack == "exploratory":
        names |= {"exploratory", "jsma"}
    if attack in ("targeted", "jsma", "one_pixel"):
        names.add(attack)
    return Stage.of(
        "exploratory" if exploratory else "attack",
        f"attack {attack} on {victim.name}, {split.label}",
        config={
            "attack": attack,
            "model": victim.name,
            "method": victim.method,
            "settings": settings.attacks.model_dump(mode="json", include=names),
            "sample": settings.seed,
            "device": device,
            **own_learners(victim.model),
            **(_definitions(settings) if exploratory else {}),
        },
        seed=settings.seed,
        inputs={"model": victim.model, "images": victim.images, "split": split},
        resources=weights_folder(options),
        **long_work("attack", device),
    )


def _definitions(settings: StudySettings) -> dict[str, Any]:
    """The person's own learners, for a surrogate; raises InvalidInput if images are too small."""
    learner, size = settings.attacks.exploratory.learner, settings.dataset.image_size
    own = settings.learners.definitions
    check_size(learner, known_builder(learner, own), size, size)
    return {"definitions": [definition.model_dump(mode="json") for definition in own]}


def own_learners(*models: Stage) -> dict[str, list[str]]:
    """Return what a configuration says of functions that rebuild networks; nothing without any.

    models: of the person's own settings, with all that they are made from. What a manifest in the
    store names beyond these is not called.
    """
    configs = [json.loads(model.config) for model in in_order(models)]
    names = {config.get("learner") for config in configs}
    names |= {backbone_of(config["extractor"]).name for config in configs if "extractor" in config}
    functions = sorted(name for name in names if isinstance(name, str) and module_of(name))
    return {"own_learners": functions} if functions else {}


def loader_of(job: Job) -> Loader:
    """Loader of a job's models, and of the artifacts that they consist of."""
    return Loader(
        job.store,
        weights_dir=job.resources.get("weights_dir"),
        device=job.config["device"],
        own_learners=job.config.get("own_learners", ()),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Attack the model batch by batch, and count its successes."""
    from flowers17.learners.images import scaled
    from flowers17.prediction.attacked import AttackedModel
    from flowers17.robustness.batches import resumed_arrays
    from flowers17.robustness.sampling import attacked_rows, sampled_targets

    config, split = job.config, job.inputs["split"]
    attack, settings = config["attack"], AttackSettings.model_validate(config["settings"])
    images, classes = job.inputs["images"].array("images"), split.json("classes")
    model = AttackedModel(job.inputs["model"], loader_of(job), config["method"])
    # The backend reads the device when it is imported, which this module does.
    from flowers17.robustness import evaluation
    from flowers17.robustness.goals import source_target_matrix

    own_settings: Any = getattr(settings, attack, settings)
    n_images = min(settings.n_images, own_settings.n_images)
    seed = config["sample"]  # the study's: all attacks and defences draw the same images
    rows = attacked_rows(split.array("labels"), split.array("validation"), n_images, seed)
    targets = None
    if attack in TARGETED:
        positions, targets = sampled_targets(
            split.array("labels"), rows, len(classes), own_settings.n_targets, job.seed
        )
        rows = rows[positions]
    labels = split.array("labels")[rows]
    victim = evaluation.Victim(model.proba, model.network)

    def compute(batch: slice) -> dict[str, Any]:
        clean, goals = scaled(images[rows[batch]]), None if targets is None else targets[batch]
        return evaluation.attack_arrays(
            attack, victim, clean, labels[batch], goals, settings, job.seed
        )

    arrays = resumed_arrays(
        job.unfinished,
        len(rows),
        own_settings.images_per_batch if attack == "one_pixel" else settings.images_per_batch,
        compute,
        progress=lambda n_done, n_total: job.progress(n_done, n_total, "images"),
    )
    runs = evaluation.run_summaries(attack, arrays, labels, targets, settings)
    job.save_json(
        "result",
        {
            **config,
            "access": "white box" if attack in WHITE_BOX else "black box",
            "kind": model.kind,
            **described(split),
            "image_size": int(images.shape[1]),
            "n_images": len(set(rows.tolist())),
            "runs": runs,
        },
    )
    job.save_arrays({**arrays, "rows": rows, "labels": labels})
    if targets is not None:
        job.save_array("targets", targets)
        job.save_array(
            "source-target",
            source_target_matrix(evaluation.result_of_run(arrays), labels, targets, len(classes)),
        )
    return {
        "n": runs[0]["n"],
        "accuracy": round(runs[0]["n_right"] / runs[0]["n"], 4),
        "lowest robust accuracy": round(min(run["n_withstood"] / run["n"] for run in runs), 4),
    }


def transfer_stage(
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
        "tasks.attack:build_transfer",
        {
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


def build_transfer(job: Job) -> Mapping[str, Any]:
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
    models, predicted = [], []
    for number, victim in enumerate(victims):
        model = AttackedModel(job.inputs[f"model {victim['name']}"], loader, victim["method"])
        models.append({**victim, "kind": model.kind})
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
            "victims": models,
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
    arrays = {"rows": rows, "labels": labels, "predicted-before": before, "predicted": after}
    job.save_arrays(arrays)
    return {"n_sources": len(sources), "n_models": len(victims)}


def _predicted_classes(
    job: Job, model: "AttackedModel", image_sets: Sequence[np.ndarray], number: int, n_models: int
) -> np.ndarray:
    """Classes that a model predicts for sets of n images each: int64 (sets, n)."""
    from flowers17.learners.images import scaled
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
