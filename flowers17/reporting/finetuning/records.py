"""What an artifact of the stage `finetuning` holds: one phase of one network on one split."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RecipeSettings
from flowers17.reporting.records import RECIPE_FREE, Score, inputs_of
from flowers17.reporting.reference import (
    DROPOUT,
    HEAD_UNITS,
    IMAGE_SIZE,
    PHASE_EPOCHS,
    PHASE_RATES,
    TABLE_9,
)

Phase = Literal["a", "b"]


@dataclass(frozen=True)
class FineTuning:
    """One phase of a network's fine-tuning: the head alone (a), or the last blocks as well (b).

    name: of the network, as `FineTunedSettings.name` calls it; maps: of what its extractor gives.
    unfrozen_from: the first block that is trained; None in phase a. layer_decay: the rate of each
    trained block, as a part of that of what is behind it. stored: whether what the frozen
    part gives was computed once. best_epoch: from 1; losses and training accuracy are those of that
    epoch, the score is that of the weights kept from it.
    """

    artifact: Artifact
    name: str
    maps: str
    extractor: str
    input_size: int
    pixels: str
    pooling: str
    configuration: str
    optimizer: str
    batch_norm: bool
    dropout: float
    units: int
    phase: Phase
    unfrozen_from: str | None
    layer_decay: float
    stored: bool
    augmentation: str
    recipe_name: str
    recipe: RecipeSettings
    seed_number: int
    score: Score
    n_parameters: int
    n_trainable: int
    epochs: int
    best_epoch: int
    train_accuracy: float | None
    validation_loss: float | None
    precision: str
    random_weights: bool

    @cached_property
    def history(self) -> list[Mapping[str, Any]]:
        """Each epoch's losses, accuracies and learning rate."""
        return list(self.artifact.json("history")["epochs"])

    @property
    def predicted(self) -> np.ndarray:
        """The predicted classes, int64 (n_validation,), in the split's order."""
        return self.artifact.array("validation-predicted")

    @property
    def proba(self) -> np.ndarray:
        """The class probabilities of all images, float32 (n_images, n_classes)."""
        return self.artifact.array("proba")

    @property
    def tag(self) -> str:
        """In what the study's recipe was changed, in short; empty for our own recipe."""
        if self.recipe_name != "report":
            return ""
        study = RecipeSettings(
            learning_rate=PHASE_RATES[self.phase], optimizer=self.recipe.optimizer
        )
        ours, theirs = (one.model_dump(exclude=RECIPE_FREE) for one in (self.recipe, study))
        same = (ours, self.units) == (theirs, HEAD_UNITS) and self.dropout in (0, DROPOUT)
        parts = [] if same else ["another recipe"]
        if self.epochs != PHASE_EPOCHS[self.phase]:
            parts.append(f"{self.epochs} epoch{'s' * (self.epochs != 1)}")
        return ", ".join(parts)

    @property
    def like_the_study(self) -> bool:
        """Whether it is what a cell of the study's Table 9 describes, but for the images."""
        ours = self.recipe_name != "report" or self.random_weights
        known = self.extractor in TABLE_9.get(self.configuration, {})
        seen = (self.input_size, self.pixels) == (IMAGE_SIZE, "dataset")
        return known and seen and not ours and not self.tag

    @property
    def of_an_ensemble(self) -> bool:
        """Whether it serves an ensemble only: on a fold, or as long as its folds found best."""
        refit = any(name.startswith("fold-") for name in inputs_of(self.artifact))
        return refit or self.score.kind == "fold"


def fine_tuning(artifact: Artifact) -> FineTuning:
    """Return the phase that an artifact of the stage `finetuning` holds."""
    result = artifact.json("result")
    n_train, n_validation, n_correct = (
        int(result[name]) for name in ("n_train", "n_validation", "n_correct")
    )
    return FineTuning(
        artifact=artifact,
        name=result["name"],
        maps=result["maps"],
        extractor=result["extractor"],
        input_size=int(result["input_size"]),
        pixels=result["pixels"],
        pooling=result["pooling"],
        configuration=result["configuration"],
        optimizer=result["optimizer"],
        batch_norm=bool(result["batch_norm"]),
        dropout=float(result["dropout"]),
        units=int(result["units"]),
        phase=result["phase"],
        unfrozen_from=result["unfrozen_from"],
        layer_decay=float(result.get("layer_decay", 1)),
        stored=result["activations"] == "stored",
        augmentation=result["augmentation"],
        recipe_name=result["recipe_name"],
        recipe=RecipeSettings.model_validate(result["recipe"]),
        seed_number=int(result["seed_number"]),
        score=Score(result["split"], result["kind"], n_train, n_validation, n_correct, {}),
        n_parameters=int(result["n_parameters"]),
        n_trainable=int(result["n_trainable"]),
        epochs=int(result["epochs"]),
        best_epoch=int(result["best_epoch"]),
        train_accuracy=result["train_accuracy"],
        validation_loss=result["validation_loss"],
        precision=result["precision"],
        random_weights=bool(result["random_weights"]),
    )
