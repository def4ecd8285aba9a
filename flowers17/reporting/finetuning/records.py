"""What an artifact of the stage `finetuning` holds: one phase of one network on one split."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RecipeSettings
from flowers17.reporting import reference as published
from flowers17.reporting.records import TrainedNetwork, recipe_tag, record_of

Phase = Literal["a", "b"]


@dataclass(frozen=True, kw_only=True)
class FineTuning(TrainedNetwork):
    """One phase of a network's fine-tuning: the head alone (a), or the last blocks as well (b).

    name: of the network, as `FineTunedSettings.name` calls it; maps: of what its extractor gives.
    unfrozen_from: the first block that is trained; None in phase a. layer_decay: the rate of each
    trained block, as a part of that of the block behind it. extractor_norms: mode of the batch
    norms in those blocks. stored: whether the frozen part's output was computed once.
    """

    name: str
    maps: str
    extractor: str
    input_size: int
    pixels: str
    pooling: str
    configuration: str
    batch_norm: bool
    dropout: float
    units: int
    phase: Phase
    unfrozen_from: str | None
    layer_decay: float
    extractor_norms: str
    stored: bool
    seed_number: int
    n_trainable: int
    random_weights: bool

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
            learning_rate=published.PHASE_RATES[self.phase], optimizer=self.recipe.optimizer
        )
        same = self.units == published.HEAD_UNITS and self.dropout in (0, published.DROPOUT)
        epochs = published.PHASE_EPOCHS[self.phase]
        return recipe_tag(self.recipe, self.epochs, epochs, study, same_head=same)

    @property
    def like_the_study(self) -> bool:
        """Whether it is what a cell of the study's Table 9 describes, but for the images."""
        known = self.extractor in published.TABLE_9.get(self.configuration, {})
        same_input = (self.input_size, self.pixels) == (published.IMAGE_SIZE, "dataset")
        same_recipe = self.recipe_name == "report" and not self.tag
        return known and same_input and same_recipe and not self.random_weights


def fine_tuning(artifact: Artifact) -> FineTuning:
    """The phase that an artifact of the stage `finetuning` holds."""
    result = artifact.json("result")
    return record_of(
        FineTuning,
        artifact,
        layer_decay=float(result.get("layer_decay", 1)),
        extractor_norms=result.get("extractor_norms", "training"),
        stored=result["activations"] == "stored",
    )
