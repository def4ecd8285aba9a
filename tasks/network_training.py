"""Shared parts of the stages that train a network: recipe, device, progress, results."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flowers17.config import RecipeSettings, StudySettings
from flowers17.learners.devices import chosen_convolutions, chosen_precision
from flowers17.stages import History, Job, Stage
from tasks import images
from tasks.split import score_on

if TYPE_CHECKING:
    import keras

    from flowers17.learners.examples import Examples
    from flowers17.learners.training import TrainingResult


def recipe(job: Job) -> RecipeSettings:
    """Recipe of a training; a refit has the mean of its folds' best epochs, rounded."""
    base = RecipeSettings.model_validate(job.config["recipe"])
    folds = [fold for name, fold in sorted(job.inputs.items()) if name.startswith("fold-")]
    if not folds:
        return base
    epochs = [fold.json("result")["best_epoch"] for fold in folds]
    mean = max(1, round(sum(epochs) / len(epochs)))
    return base.model_copy(update={"epochs": mean, "selection": "last"})


def computation(settings: StudySettings, device: Literal["cpu", "gpu"]) -> dict[str, str]:
    """Precision, convolutions and device of a training, as parts of its configuration.

    With them how images become squares and how classes count, which its model's users need.
    """
    precision = chosen_precision(settings.learners.precision, device)
    convolutions = chosen_convolutions(settings.learners.convolutions, precision, device)
    computed = {"precision": precision, "convolutions": convolutions, "device": device}
    return computed | images.resizing(settings) | weighting(settings)


def weighting(settings: StudySettings) -> dict[str, str]:
    """How classes count in a fit, as part of its configuration; empty if all images count alike."""
    return {} if settings.class_weight == "none" else {"class_weight": settings.class_weight}


def fold_inputs(refit_of: Sequence[Stage]) -> dict[str, Stage]:
    """Trainings on folds as inputs of their refit; `recipe` reads them."""
    return {f"fold-{number:02d}": fold for number, fold in enumerate(refit_of, start=1)}


def examples(job: Job, inputs: np.ndarray, mirrored: np.ndarray | None = None) -> "Examples":
    """What a network is trained on: images or activations of a job's split, with their labels."""
    from flowers17.learners.examples import Examples

    split = job.inputs["split"]
    return Examples(
        inputs,
        split.array("labels"),
        split.array("train"),
        split.array("validation"),
        len(split.json("classes")),
        mirrored,
        job.config.get("class_weight"),
    )


def publish(
    job: Job,
    details: Mapping[str, Any],
    network: "keras.Model",
    training: "TrainingResult",
    proba: np.ndarray,
) -> Mapping[str, Any]:
    """Store a training's result, history, probabilities and weights; return its metrics.

    details: further entries of the result. network: its weights are stored. proba:
    float32 (n_images, n_classes), of all images; those of the split's validation part are scored.
    """
    import keras

    from flowers17.learners.evaluation import loss_and_accuracy

    split = job.inputs["split"]
    labels, validation = split.array("labels"), split.array("validation")
    score = score_on(split, proba)
    accuracy = score["n_correct"] / len(validation)
    best_scores = training.history[training.best_epoch - 1]
    result = {
        **details,
        **score,
        "classes": split.json("classes"),
        "epochs": len(training.history),
        "best_epoch": training.best_epoch,
        "train_loss": best_scores["loss"],
        "train_accuracy": best_scores["accuracy"],
        "validation_loss": loss_and_accuracy(proba[validation], labels[validation])[0],
        "validation_accuracy": accuracy,
        "accuracy": accuracy,
        "backend": str(keras.backend.backend()),
    }
    if result["kind"] == "all":
        result["measured"] = job.inputs["fold-01"].json("result")
    job.save_json("result", result)
    job.save_json("history", {"epochs": training.history})
    job.save_array("proba", proba)
    job.save_array("validation-predicted", proba[validation].argmax(axis=1))
    (job.folder / "weights").mkdir()
    for position, variable in enumerate(network.weights):
        job.save_array(f"weights/{position:03d}", keras.ops.convert_to_numpy(variable))
    return {
        "accuracy": round(accuracy, 4),
        "epoch kept": training.best_epoch,
        "train accuracy": round(best_scores["accuracy"], 4),
    }


class TrainingProgress:
    """Reports a training's progress to its job."""

    def __init__(self, job: Job, n_epochs: int) -> None:
        self.job, self.n_epochs, self.last = job, n_epochs, float("-inf")
        self.log: Callable[[int, Mapping[str, float]], None] | None = None

    def after_batch(self, epochs: float, epoch: Mapping[str, float], rate: float) -> None:
        """Report epoch, loss and accuracy, at most once a second."""
        if time.monotonic() - self.last >= 1:
            self.last = time.monotonic()
            numbers = f"loss {epoch['loss']:.3f}, accuracy {epoch['accuracy']:.3f}"
            unit = f"epochs, {numbers}, {rate:.0f} images/s"
            self.job.progress(int(epochs), self.n_epochs, unit)

    def after_epoch(self, history: History) -> None:
        """Report the epoch's validation scores and the learning curves so far."""
        last = history[-1]
        unit = f"epochs, validation loss {last['val_loss']:.3f}, {last['val_accuracy']:.3f} correct"
        self.job.progress(len(history), self.n_epochs, unit, history)
        if "tensorboard" in self.job.resources:
            from flowers17.learners.devices import tensorboard_log

            folder = self.job.resources["tensorboard"] / self.job.unfinished.name
            self.log = self.log or tensorboard_log(folder)
            self.log(int(last["epoch"]), last)
