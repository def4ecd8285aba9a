"""Stage `transfer`: images made to fool one network, shown to every other model."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.config import Places, StudySettings
from flowers17.errors import InvalidInput
from flowers17.learners.devices import device_in
from flowers17.learners.images import scaled
from flowers17.stages import Job, Stage
from tasks.attack import Target, loader_of, own_learners
from tasks.long_work import long_work

if TYPE_CHECKING:
    from flowers17.prediction.attacked import AttackedModel


def stage(
    settings: StudySettings,
    places: Places,
    made: Sequence[Stage],
    targets: Sequence[Target],
    split: Stage,
) -> Stage:
    """Return the stage of a split; made: attacks at one budget; targets: who is shown the images.

    It is built from whichever of them there are.
    """
    device = device_in(places)
    return Stage.of(
        "transfer",
        f"transfer, {split.label}",
        "tasks.transfer:build",
        {
            "sources": [one.label for one in made],
            "victims": [{"name": one.name, "method": one.method} for one in targets],
            "images_per_batch": settings.attacks.images_per_batch,
            "device": device,
            **own_learners(*(one.model for one in targets)),
        },
        seed=settings.seed,
        inputs={
            "split": split,
            **{one.label: one for one in made},
            **{f"images of {one.label}": one.inputs["images"] for one in made},
            **{f"model {one.name}": one.model for one in targets},
        },
        resources={name: path for one in targets for name, path in one.resources(places).items()},
        tolerant=True,
        **long_work("attack", device),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Ask every model about every set of images; count who withstands."""
    from flowers17.prediction.attacked import AttackedModel

    config, split = job.config, job.inputs["split"]
    sources = [job.inputs[one] for one in config["sources"] if one in job.inputs]
    victims = [one for one in config["victims"] if f"model {one['name']}" in job.inputs]
    if not sources:
        raise InvalidInput(
            "transfer: expected at least one attack whose images are shown to others, got none: "
            f"{', '.join(job.missing)} failed; mend that and run again"
        )
    rows = sources[0].array("rows")
    labels, loader = split.array("labels")[rows], loader_of(job)
    clean = [job.inputs[f"images of {one.manifest['label']}"] for one in sources]
    sizes = list({one.reference.key: one for one in clean}.values())
    shown = [one.array("images")[rows] for one in sizes]
    shown += [one.array("adversarial") for one in sources]
    kinds, said = [], []
    for number, victim in enumerate(victims):
        model = AttackedModel(job.inputs[f"model {victim['name']}"], loader, victim["method"])
        kinds.append(model.kind)
        said.append(_said(job, model, shown, number, len(victims)))
    classes = np.stack(said, axis=1)
    keys = [one.reference.key for one in sizes]
    before = classes[[keys.index(one.reference.key) for one in clean]]
    after = classes[len(sizes) :]
    right = before == labels
    stood = right & (after == labels)
    results = [one.json("result") for one in sources]
    job.save_json(
        "result",
        {
            "split": split.json("split")["name"],
            "split_kind": split.json("split")["kind"],
            "classes": split.json("classes"),
            "n_images": len(rows),
            "missing": job.missing,
            "victims": [
                {**victim, "kind": kind} for victim, kind in zip(victims, kinds, strict=True)
            ],
            "sources": [
                {
                    "model": one["model"],
                    "attack": one["attack"],
                    "budget": one["settings"]["budget"],
                    "image_size": one["image_size"],
                    "n_right": right[number].sum(axis=1).tolist(),
                    "n_withstood": stood[number].sum(axis=1).tolist(),
                }
                for number, one in enumerate(results)
            ],
        },
    )
    job.save_array("rows", rows)
    job.save_array("labels", labels)
    job.save_array("predicted-before", before)
    job.save_array("predicted", after)
    return {"n_sources": len(sources), "n_models": len(victims)}


def _said(
    job: Job, model: "AttackedModel", shown: Sequence[np.ndarray], number: int, n_models: int
) -> np.ndarray:
    """Return the classes that a model gives to sets of n images each: int64 (sets, n)."""
    from flowers17.robustness.batches import resumed

    n = len(shown[0])

    def of(part: slice) -> dict[str, np.ndarray]:
        said = [model.proba(scaled(one[part])).argmax(axis=1) for one in shown]
        return {"predicted": np.stack(said, axis=1).astype(np.int64)}

    found = resumed(
        job.unfinished / f"{number:03d}",
        n,
        job.config["images_per_batch"],
        of,
        progress=lambda done, _: job.progress(number * n + done, n_models * n, "images"),
    )
    return found["predicted"].T
