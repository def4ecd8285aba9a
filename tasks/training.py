"""Stage `training`: one learner, trained on one split; resumes from its last epoch."""

import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowers17.artifacts import file_sha256
from flowers17.config import (
    AugmentationName,
    LearnerDefinition,
    Places,
    RecipeSettings,
    StudySettings,
)
from flowers17.learners.devices import chosen_device, chosen_precision
from flowers17.learners.networks import builder_of
from flowers17.stages import History, Job, Stage


@dataclass(frozen=True)
class Training:
    """Which learner, how, and on which split."""

    learner: str
    augmentation: AugmentationName
    recipe_name: str
    recipe: RecipeSettings
    split: str

    @property
    def label(self) -> str:
        """How people call it, e.g. `mk-2 wide, report split`."""
        how = self.recipe_name if self.recipe_name == "best" else self.augmentation
        name = self.learner if how == "none" else f"{self.learner} {how}"
        return f"{name}, {self.split} split"


def stage(
    settings: StudySettings, places: Places, one: Training, images: Stage, split: Stage
) -> Stage:
    """Return the stage of one training."""
    device = chosen_device(places.device)
    definition = builder_of(one.learner, settings.learners.definitions)
    resources = {"tensorboard": str(places.tensorboard)} if places.tensorboard else {}
    return Stage.of(
        "training",
        one.label,
        "tasks.training:build",
        {
            "learner": one.learner,
            "definition": _identity(one.learner, definition),
            "augmentation": one.augmentation,
            "recipe_name": one.recipe_name,
            "recipe": one.recipe.model_dump(mode="json"),
            "precision": chosen_precision(settings.learners.precision, device),
            "device": device,
        },
        seed=settings.seed,
        inputs={"images": images, "split": split},
        resources=resources,
        isolated=True,
        timeout_s=14 * 24 * 3600,
        tags=("training", "gpu") if device == "gpu" else ("training",),
    )


def _identity(name: str, found: object) -> Any:
    """Return what decides a learner's network and is not code of ours, as JSON."""
    if isinstance(found, LearnerDefinition):
        return found.model_dump(mode="json")
    module = name.partition(":")[0]
    spec = importlib.util.find_spec(module) if ":" in name else None
    return {"sha256": file_sha256(Path(spec.origin))} if spec and spec.origin else None


def build(job: Job) -> Mapping[str, Any]:
    """Train, and evaluate the kept epoch on the split's validation images."""
    from flowers17.learners.devices import prepare
    from flowers17.seeds import derived_seed

    config, split = job.config, job.inputs["split"]
    what = (config["learner"], config["augmentation"], config["recipe_name"])
    seed = derived_seed(job.seed, "learner", *what, split.json("split")["name"])
    prepare(config["device"], config["precision"], seed)
    # The backend reads the device when it is imported, which the modules below do.
    from flowers17.learners.description import layer_table, n_operations
    from flowers17.learners.networks import build as network
    from flowers17.learners.training import Examples, measures, probabilities, train

    images = job.inputs["images"].array("images")
    labels, validation = split.array("labels"), split.array("validation")
    n_classes, size = len(split.json("classes")), images.shape[1]
    recipe = RecipeSettings.model_validate(config["recipe"])
    definition = config["definition"] or {}
    own = (LearnerDefinition.model_validate(definition),) if "blocks" in definition else ()
    any_size = set(recipe.resolutions) != {1.0}
    model = network(
        config["learner"],
        (None, None, 3) if any_size else (size, size, 3),
        n_classes,
        definitions=own,
        seed=seed,
    )
    # Before the long part, since it is refused for images that are too small.
    described = network(config["learner"], (size, size, 3), n_classes, definitions=own)
    layers, operations = layer_table(described), n_operations(described)
    del described
    watched = _Watched(job, recipe.epochs)
    trained = train(
        model,
        Examples(images, labels, split.array("train"), validation, n_classes),
        recipe,
        config["augmentation"],
        seed=seed,
        folder=job.unfinished,
        watch=watched.after_batch,
        after_epoch=watched.after_epoch,
    )
    proba = probabilities(model, images[validation], flips=recipe.flips_at_test)
    predicted = proba.argmax(axis=1)
    kept = trained.history[trained.best_epoch - 1]
    n_correct = int((predicted == labels[validation]).sum())
    result = {
        **{name: value for name, value in config.items() if name != "definition"},
        "split": split.json("split")["name"],
        "kind": split.json("split")["kind"],
        "n_train": len(split.array("train")),
        "n_validation": len(validation),
        "n_parameters": int(model.count_params()),
        "n_operations": operations,
        "epochs": recipe.epochs,
        "best_epoch": trained.best_epoch,
        "train_loss": kept["loss"],
        "train_accuracy": kept["accuracy"],
        "validation_loss": measures(proba, labels[validation])[0],
        "validation_accuracy": n_correct / len(validation),
        "n_correct": n_correct,
        "accuracy": n_correct / len(validation),
        "image_size": size,
        "backend": _backend(),
    }
    job.save_json("result", result)
    job.save_json("history", {"epochs": trained.history})
    job.save_json("layers", layers)
    job.save_array("validation-proba", proba)
    job.save_array("validation-predicted", predicted)
    _save_weights(job, model)
    return {
        "accuracy": round(result["accuracy"], 4),
        "epoch kept": trained.best_epoch,
        "train accuracy": round(kept["accuracy"], 4),
    }


def _backend() -> str:
    import keras

    return str(keras.backend.backend())


def _save_weights(job: Job, model: Any) -> None:
    import keras

    (job.folder / "weights").mkdir()
    for place, variable in enumerate(model.weights):
        job.save_array(f"weights/{place:03d}", keras.ops.convert_to_numpy(variable))


class _Watched:
    """Tells a job's progress while its training runs."""

    def __init__(self, job: Job, n_epochs: int) -> None:
        self.job, self.n_epochs, self.last = job, n_epochs, float("-inf")
        self.log: Callable[[int, Mapping[str, float]], None] | None = None

    def after_batch(self, epochs: float, epoch: Mapping[str, float], rate: float) -> None:
        """Say where the training is, once a second at most."""
        if time.monotonic() - self.last >= 1:
            self.last = time.monotonic()
            numbers = f"loss {epoch['loss']:.3f}, accuracy {epoch['accuracy']:.3f}"
            unit = f"epochs, {numbers}, {rate:.0f} images/s"
            self.job.progress(int(epochs), self.n_epochs, unit)

    def after_epoch(self, history: History) -> None:
        """Say how the epoch ended, and what the learning curves are so far."""
        last = history[-1]
        unit = f"epochs, validation loss {last['val_loss']:.3f}, {last['val_accuracy']:.3f} correct"
        self.job.progress(len(history), self.n_epochs, unit, history)
        if "tensorboard" in self.job.resources:
            from flowers17.learners.devices import tensorboard_log

            folder = self.job.resources["tensorboard"] / self.job.unfinished.name
            self.log = self.log or tensorboard_log(folder)
            self.log(int(last["epoch"]), last)
