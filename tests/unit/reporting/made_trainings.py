"""Trainings written by hand: known histories, layers and predictions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.config import RecipeSettings, StudySettings
from flowers17.reporting.absences import AbsentStage
from flowers17.reporting.reference import TABLE_1

from .maker import Maker, absent_stage

DIVERGED = "its loss left the finite numbers <at once>"
N_OPERATIONS = 1e9
N_PARAMETERS = 7_800_000
# How many of the 12 held-out images of the report's split each learner gets wrong.
ERRORS = {
    "baseline": 5,
    "mk-1": 6,
    "mk-2": 7,
    "mk-3": 8,
    "mk-2 zoom": 5,
    "mk-2 flips": 6,
    "mk-2 wide": 3,
    "mk-3 zoom": 6,
    "mk-3 flips": 7,
    "mk-3 wide": 4,
    "residual best": 1,
    "sequential best": 2,
}
SURE, UNSURE = 0.9, 0.6  # of a right answer, and of a wrong one


def history(epochs: int) -> list[dict[str, float]]:
    """A history whose validation loss is lowest at a third of its epochs, rounded up."""
    lowest = math.ceil(epochs / 3)
    return [
        {
            "epoch": epoch,
            "loss": 3 * math.exp(-epoch / epochs),
            "accuracy": 1 - 0.9 * math.exp(-2 * epoch / epochs),
            "val_loss": 1.5 + abs(epoch - lowest) / epochs,
            "val_accuracy": 0.6 - 0.4 * math.exp(-4 * epoch / epochs),
            "learning_rate": 0.01,
        }
        for epoch in range(1, epochs + 1)
    ]


def layers_of(learner: str) -> list[dict[str, Any]]:
    """A learner's layers; of one that the study lacks, a convolution and the output."""
    study = TABLE_1.get(learner)
    kinds = ["InputLayer"]
    for block in study.blocks if study else ((64,),):
        kinds += ["Conv2D"] * len(block) + ["MaxPooling2D"] * bool(study)
    kinds += ["Flatten", "Dense", "Dense", "Softmax"] if study else ["GlobalAveragePooling2D"]
    kinds += [] if study else ["Dense", "Softmax"]
    return [
        {"name": f"layer{i}", "kind": kind, "output_shape": [8, 8, 64], "parameters": 0}
        for i, kind in enumerate(kinds)
    ]


def _trainings(
    settings: StudySettings, n_splits: int
) -> Iterator[tuple[str, str, RecipeSettings, int]]:
    """Yield learner, augmentation or `best`, recipe and index of the split of each training."""
    learners = settings.learners
    longer = learners.recipe.model_copy(update={"epochs": learners.augmented_epochs})
    for learner in learners.plain:
        yield learner, "none", learners.recipe, 0
    for learner in learners.augmented:
        for augmentation in learners.augmentations:
            yield learner, augmentation, longer, 0
    for learner in learners.best:
        for index in range(min(n_splits, 2 + learners.best_splits)):
            yield learner, "best", learners.best_recipe, index


def publish_trainings(
    maker: Maker,
    settings: StudySettings,
    labels: np.ndarray,
    splits: Sequence[Mapping[str, Any]],
    *,
    without: Mapping[str, str],
) -> list[AbsentStage]:
    """Publish every training that the settings ask for; return those without, and why.

    A learner errs on the first held-out images, as `ERRORS` says and one more on every other split;
    `sequential` on the last ones.
    """
    n_classes, absent = int(labels.max()) + 1, []
    for learner, variant, recipe, index in _trainings(settings, len(splits)):
        split, name = splits[index], learner if variant == "none" else f"{learner} {variant}"
        label = f"{name}, {split['name']} split"
        recipe_name = "best" if variant == "best" else "report"
        augmentation = settings.learners.best_augmentation if variant == "best" else variant
        if label in without:
            identity = {
                "learner": learner,
                "augmentation": augmentation,
                "recipe_name": recipe_name,
            }
            reason = without[label]
            absent.append(absent_stage("a1", "training", label, reason, split["name"], **identity))
            continue
        truth = labels[split["validation"]]
        wrong = ERRORS[name] + index % 2
        predicted, proba = truth.copy(), np.zeros((len(labels), n_classes), np.float32)
        errs = slice(-wrong, None) if learner == "sequential" else slice(wrong)
        predicted[errs] = (predicted[errs] + 1) % n_classes
        sureness = np.where(predicted == truth, SURE, UNSURE)[:, None]
        one_hot = np.eye(n_classes, dtype=np.float32)[predicted]
        proba[split["validation"]] = sureness * one_hot + (1 - sureness) / n_classes
        epochs = history(recipe.epochs)
        last = recipe.selection == "last"
        epoch = epochs[-1] if last else min(epochs, key=lambda epoch: epoch["val_loss"])
        study = TABLE_1.get(learner)
        result = {
            "learner": learner,
            "augmentation": augmentation,
            "recipe": recipe.model_dump(mode="json"),
            "recipe_name": recipe_name,
            "split": split["name"],
            "kind": split["kind"],
            "n_train": len(split["train"]),
            "n_validation": len(truth),
            "n_parameters": study.n_parameters if study else N_PARAMETERS,
            "n_operations": study.n_operations if study else N_OPERATIONS,
            "epochs": recipe.epochs,
            "best_epoch": epoch["epoch"],
            "train_loss": epoch["loss"],
            "train_accuracy": epoch["accuracy"],
            "validation_loss": epoch["val_loss"],
            "validation_accuracy": (len(truth) - wrong) / len(truth),
            "n_correct": len(truth) - wrong,
            "accuracy": (len(truth) - wrong) / len(truth),
            "image_size": settings.dataset.image_size,
            "precision": "float32",
            "backend": "tensorflow",
        }
        maker.publish(
            "training",
            label,
            {"images": maker.artifacts[f"images@{settings.dataset.image_size}"]},
            {"validation-predicted": predicted.astype(np.int64), "proba": proba},
            {"result": result, "history": {"epochs": epochs}, "layers": layers_of(learner)},
        )
    return absent


def publish_examples(maker: Maker, image: np.ndarray) -> None:
    """Publish two draws of each augmentation: the image itself, and its negative."""
    names = ["zoom", "flips", "wide", "strong"]
    draws = np.stack([np.concatenate([image, 255 - image])] * len(names))
    arrays = {"examples": draws, "original": image[0]}
    maker.publish("augmentations", "augmentations", {}, arrays, {"names": names})
