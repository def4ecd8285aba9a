"""What the stages that train a network share: how they compute, progress, what they publish."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flowers17.config import RecipeSettings, StudySettings
from flowers17.learners.devices import chosen_convolutions, chosen_precision
from flowers17.stages import History, Job, Stage

if TYPE_CHECKING:
    import keras

    from flowers17.learners.training import Trained


def recipe(job: Job) -> RecipeSettings:
    """Return a training's recipe; a refit's has the mean number of epochs that its folds found."""
    found = RecipeSettings.model_validate(job.config["recipe"])
    folds = [one for name, one in sorted(job.inputs.items()) if name.startswith("fold-")]
    if not folds:
        return found
    epochs = [one.json("result")["best_epoch"] for one in folds]
    mean = max(1, round(sum(epochs) / len(epochs)))
    return found.model_copy(update={"epochs": mean, "selection": "last"})


def computation(settings: StudySettings, device: Literal["cpu", "gpu"]) -> dict[str, str]:
    """Return what of a training's configuration says how its numbers are computed."""
    precision = chosen_precision(settings.learners.precision, device)
    convolutions = chosen_convolutions(settings.learners.convolutions, precision, device)
    return {"precision": precision, "convolutions": convolutions, "device": device}


def fold_inputs(refit_of: Sequence[Stage]) -> dict[str, Stage]:
    """Return trainings on folds as the inputs that `recipe` finds them by."""
    return {f"fold-{number:02d}": fold for number, fold in enumerate(refit_of, start=1)}


def publish(
    job: Job,
    described: Mapping[str, Any],
    network: "keras.Model",
    trained: "Trained",
    proba: np.ndarray,
) -> Mapping[str, Any]:
    """Store a training's result, history, probabilities and weights; return its metrics.

    described: what the result says beside the scores. network: whose weights are stored. proba:
    float32 (n_images, n_classes), of all images; those of the split's validation part are scored.
    """
    import keras

    from flowers17.learners.evaluation import measures

    split = job.inputs["split"]
    labels, validation = split.array("labels"), split.array("validation")
    predicted = proba[validation].argmax(axis=1)
    n_correct = int((predicted == labels[validation]).sum())
    accuracy = n_correct / len(validation)
    kept = trained.history[trained.best_epoch - 1]
    result = {
        **described,
        "split": split.json("split")["name"],
        "kind": split.json("split")["kind"],
        "classes": split.json("classes"),
        "n_train": len(split.array("train")),
        "n_validation": len(validation),
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "train_loss": kept["loss"],
        "train_accuracy": kept["accuracy"],
        "validation_loss": measures(proba[validation], labels[validation])[0],
        "validation_accuracy": accuracy,
        "n_correct": n_correct,
        "accuracy": accuracy,
        "backend": str(keras.backend.backend()),
    }
    job.save_json("result", result)
    job.save_json("history", {"epochs": trained.history})
    job.save_array("proba", proba)
    job.save_array("validation-predicted", predicted)
    (job.folder / "weights").mkdir()
    for place, variable in enumerate(network.weights):
        job.save_array(f"weights/{place:03d}", keras.ops.convert_to_numpy(variable))
    return {
        "accuracy": round(accuracy, 4),
        "epoch kept": trained.best_epoch,
        "train accuracy": round(kept["accuracy"], 4),
    }


class Watched:
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
