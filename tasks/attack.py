"""Stage `attack`: one attack on one model, at every budget; resumes from its last batch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowers17.config import AttackName, AttackSettings, Places, StudySettings
from flowers17.learners.devices import device_in
from flowers17.learners.networks import module_of
from flowers17.prediction.models import Loader
from flowers17.stages import Job, Stage, in_order
from tasks.long_work import long_work

WHITE_BOX: tuple[AttackName, ...] = ("fgsm", "pgd", "targeted", "jsma")
TOWARDS_TARGETS: tuple[AttackName, ...] = ("targeted", "jsma")
SWEPT: tuple[AttackName, ...] = ("noise", "fgsm", "pgd")


@dataclass(frozen=True)
class Target:
    """A model to be attacked: its name, the stage that makes it, and how an ensemble is combined.

    is_network: whether gradients can be taken of it. images: of the size at which it is attacked.
    """

    name: str
    model: Stage
    images: Stage
    is_network: bool
    method: str | None = None

    def resources(self, places: Places) -> dict[str, str]:
        """Return what opening it needs beside its artifact: weights of extractors."""
        return {"weights_dir": str(places.weights_dir)} if places.weights_dir else {}


def stage(
    settings: StudySettings,
    places: Places,
    attack: AttackName,
    target: Target,
    split: Stage,
) -> Stage:
    """Return the stage of one attack on one model, on a split's validation images."""
    device = device_in(places)
    return Stage.of(
        "attack",
        f"attack {attack} on {target.name}, {split.label}",
        "tasks.attack:build",
        {
            "attack": attack,
            "model": target.name,
            "method": target.method,
            "settings": _decisive(attack, settings.attacks),
            "device": device,
            **own_learners(target.model),
        },
        seed=settings.seed,
        inputs={"model": target.model, "images": target.images, "split": split},
        resources=target.resources(places),
        optional=target.model.optional,
        **long_work("attack", device),
    )


def _decisive(attack: AttackName, settings: AttackSettings) -> dict[str, Any]:
    """Return the settings that this attack depends on, as JSON."""
    names = {"n_images", "images_per_batch"}
    if attack in SWEPT:
        names |= {"budgets", "budget"}
    if attack in ("pgd", "targeted"):
        names |= {"pgd_steps", "budget"}
    if attack in ("targeted", "jsma", "one_pixel"):
        names.add(attack)
    return settings.model_dump(mode="json", include=names)


def own_learners(*models: Stage) -> dict[str, list[str]]:
    """Return what a configuration says of functions that rebuild networks; nothing without any.

    models: of the person's own settings, with all that they are made from. What a manifest in the
    store names beyond these is not called.
    """
    names = {json.loads(one.config).get("learner") for one in in_order(models)}
    functions = sorted(name for name in names if isinstance(name, str) and module_of(name))
    return {"own_learners": functions} if functions else {}


def loader_of(job: Job) -> Loader:
    """Return what opens a job's models, and all that they were made from."""
    return Loader(
        job.store,
        weights_dir=job.resources.get("weights_dir"),
        device=job.config["device"],
        own_learners=job.config.get("own_learners", ()),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Attack the model, batch by batch, and sum up what the attack reached."""
    from flowers17.learners.images import scaled
    from flowers17.prediction.attacked import AttackedModel
    from flowers17.robustness.batches import resumed
    from flowers17.robustness.sampling import attacked_rows, drawn_targets

    config, split = job.config, job.inputs["split"]
    attack, settings = config["attack"], AttackSettings.model_validate(config["settings"])
    every, classes = job.inputs["images"].array("images"), split.json("classes")
    model = AttackedModel(job.inputs["model"], loader_of(job), config["method"])
    # The backend reads the device when it is imported, which this module does.
    from flowers17.robustness.evaluation import Victim, attacked, source_target, summaries

    own: Any = getattr(settings, attack, settings)
    n_images = min(settings.n_images, own.n_images)
    rows = attacked_rows(split.array("labels"), split.array("validation"), n_images, job.seed)
    targets = None
    if attack in TOWARDS_TARGETS:
        places, targets = drawn_targets(
            split.array("labels"), rows, len(classes), own.n_targets, job.seed
        )
        rows = rows[places]
    labels = split.array("labels")[rows]
    victim = Victim(model.proba, model.network)

    def of(part: slice) -> dict[str, Any]:
        images, wanted = scaled(every[rows[part]]), None if targets is None else targets[part]
        return attacked(attack, victim, images, labels[part], wanted, settings, job.seed)

    found = resumed(
        job.unfinished,
        len(rows),
        own.images_per_batch if attack == "one_pixel" else settings.images_per_batch,
        of,
        progress=lambda done, total: job.progress(done, total, "images"),
    )
    runs = summaries(attack, found, labels, targets, settings)
    described = split.json("split")
    job.save_json(
        "result",
        {
            **config,
            "access": "white box" if attack in WHITE_BOX else "black box",
            "kind": model.kind,
            "split": described["name"],
            "split_kind": described["kind"],
            "classes": classes,
            "image_size": int(every.shape[1]),
            "n_images": len(set(rows.tolist())),
            "runs": runs,
        },
    )
    for name, array in {**found, "rows": rows, "labels": labels}.items():
        job.save_array(name, array)
    if targets is not None:
        job.save_array("targets", targets)
        job.save_array("source-target", source_target(found, labels, targets, len(classes)))
    return {
        "n": runs[0]["n"],
        "accuracy": round(runs[0]["n_right"] / runs[0]["n"], 4),
        "lowest robust accuracy": round(min(one["n_withstood"] / one["n"] for one in runs), 4),
    }
