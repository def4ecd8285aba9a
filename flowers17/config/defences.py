"""Settings of defences and of poisoning (Part C)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from flowers17.config.attacks import Budget
from flowers17.config.base import Model
from flowers17.config.ensemble import MemberSettings, NetworkSettings
from flowers17.config.learners import AdversarySettings, RecipeSettings

PoisonName = Literal["labels", "patch"]


class FilterSettings(Model):
    """A smoothing filter in front of a network."""

    kind: Literal["median", "gaussian", "bits"] = Field()
    strength: float = Field(gt=0)

    @model_validator(mode="after")
    def _check_strength(self) -> "FilterSettings":
        is_whole, size = self.strength == int(self.strength), int(self.strength)
        fits = {
            "median": is_whole and size >= 3 and size % 2 == 1,
            "gaussian": True,
            "bits": is_whole and 1 <= size <= 8,
        }
        if not fits[self.kind]:
            raise ValueError(
                "strength: expected an odd whole number from 3 on for `median`, or one from 1 to 8 "
                f"for `bits`, got {self.strength:g} for `{self.kind}`"
            )
        return self

    @property
    def name(self) -> str:
        """Display name, e.g. `median 3`, `gaussian 0.8`, `4 bits`."""
        number = f"{self.strength:g}"
        return f"{number} bits" if self.kind == "bits" else f"{self.kind} {number}"


class DetectorSettings(Model):
    """A small CNN that refuses images which it takes for adversarial."""

    budgets: tuple[Budget, ...] = Field((2, 4), min_length=1)
    recipe: RecipeSettings = RecipeSettings(
        epochs=10, batch_size=64, optimizer="adam", learning_rate=1e-3
    )
    held_out: float = Field(0.2, gt=0, lt=1)
    false_alarms: float = Field(0.05, ge=0, lt=1)

    @property
    def name(self) -> str:
        """Display name, e.g. `detector of 2, 4`."""
        return f"detector of {', '.join(f'{budget:g}' for budget in self.budgets)}"


class DefenceSettings(Model):
    """Defences, each against attacks that know it (Part C)."""

    networks: tuple[NetworkSettings, ...] = (MemberSettings(learner="mk-2"),)
    adversaries: tuple[AdversarySettings, ...] = (
        AdversarySettings(attack="fgsm"),
        AdversarySettings(),
    )
    filters: tuple[FilterSettings, ...] = (
        FilterSettings(kind="median", strength=3),
        FilterSettings(kind="gaussian", strength=1),
        FilterSettings(kind="bits", strength=4),
    )
    detectors: tuple[DetectorSettings, ...] = (DetectorSettings(),)
    budgets: tuple[Budget, ...] = Field((1, 2, 4, 8), min_length=1)


class PoisoningSettings(Model):
    """Poisoned training images, and what they do (Part C)."""

    networks: tuple[NetworkSettings, ...] = (MemberSettings(learner="mk-2"),)
    kinds: tuple[PoisonName, ...] = ("labels", "patch")
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0, 0.1)
    target: int = Field(0, ge=0)
    patch_size: float = Field(0.1, gt=0, le=0.5)
