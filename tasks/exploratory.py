"""Stage `exploratory`: a surrogate of one model, learned from its answers, and its transfer."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import AttackSettings, LearnerDefinition
from flowers17.errors import InvalidSettings
from flowers17.stages import Job
from tasks.attack import loader_of
from tasks.split import described


def build(job: Job) -> Mapping[str, Any]:
    """Train surrogates on the model's answers, attack the last, and show the model the images.

    The adversary's own images and the attacked ones are validation images, which no model has
    learned; the attacked ones are the first of those that all attacks take.
    """
    from flowers17.learners.images import scaled
    from flowers17.learners.networks import build as network
    from flowers17.prediction.attacked import AttackedModel
    from flowers17.robustness.batches import resumed_arrays
    from flowers17.robustness.sampling import attacked_rows, sampled_targets

    config, split = job.config, job.inputs["split"]
    settings = AttackSettings.model_validate(config["settings"])
    images, labels = job.inputs["images"].array("images"), split.array("labels")
    validation, n_seeds = split.array("validation"), settings.exploratory.n_seeds
    if n_seeds >= len(validation):
        raise InvalidSettings(
            f"attacks.exploratory.n_seeds: expected fewer than the {len(validation)} validation "
            f"images of the {split.json('split')['name']} split, got {n_seeds}; lower it"
        )
    order = attacked_rows(labels, validation, len(validation), config["sample"])
    rows = order[:-n_seeds][: settings.n_images]
    model = AttackedModel(job.inputs["model"], loader_of(job), config["method"])
    # The backend reads the device when it is imported, which this module does.
    from flowers17.robustness import exploratory

    shape, n_classes = images.shape[1:], len(split.json("classes"))
    own = [LearnerDefinition.model_validate(definition) for definition in config["definitions"]]

    def target(pixels: np.ndarray) -> np.ndarray:
        return model.proba(pixels).argmax(axis=1)

    surrogate, n_queries, learned = exploratory.learned_surrogate(
        target,
        lambda seed: network(
            settings.exploratory.learner, shape, n_classes, definitions=own, seed=seed
        ),
        images[order[-n_seeds:]],
        images[rows],
        n_classes,
        settings.exploratory,
        seed=job.seed,
        folder=job.unfinished,
        batch_size=settings.images_per_batch,
        progress=job.progress,
    )
    classes = np.full(len(rows), exploratory.NOT_SHOWN)
    _, targets = sampled_targets(labels, rows[: settings.jsma.n_images], n_classes, 1, job.seed)
    classes[: len(targets)] = targets
    predicted = resumed_arrays(
        job.unfinished / "attacks",
        len(rows),
        settings.images_per_batch,
        lambda batch: exploratory.transferred(
            surrogate,
            target,
            scaled(images[rows[batch]]),
            labels[rows[batch]],
            classes[batch],
            settings,
            job.seed,
        ),
        progress=lambda n_done, n_total: job.progress(n_done, n_total, "images"),
    )["predicted"]
    job.save_json(
        "result",
        {
            **config,
            **described(split),
            "kind": model.kind,
            "n_images": len(rows),
            "n_queries": n_queries,
        },
    )
    arrays = {"rows": rows, "labels": labels[rows], "learned": learned, "predicted": predicted}
    job.save_arrays(arrays)
    before = predicted[:, 0, 0]
    return {
        "n_queries": n_queries[-1],
        "fidelity": round(float((learned[:, -1] == before).mean()), 4),
        "accuracy": round(float((before == labels[rows]).mean()), 4),
    }
