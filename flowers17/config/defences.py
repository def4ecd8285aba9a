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

    kind: Literal["median", "gaussian", "bits"] = Field(
        description="median of a square, Gaussian blur, or fewer grey levels"
    )
    strength: float = Field(
        gt=0,
        description="side of the square (odd), standard deviation in pixels, or bits a channel",
    )

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

    budgets: tuple[Budget, ...] = Field(
        (2, 4), min_length=1, description="of the FGSM and PGD images it is trained on, in 255ths"
    )
    recipe: RecipeSettings = Field(
        RecipeSettings(epochs=10, batch_size=64, optimizer="adam", learning_rate=1e-3),
        description="how it is trained",
    )
    held_out: float = Field(
        0.2, gt=0, lt=1, description="share of the training images that choose epoch and threshold"
    )
    false_alarms: float = Field(
        0.05, ge=0, lt=1, description="share of clean images that may be refused"
    )

    @property
    def name(self) -> str:
        """Display name, e.g. `detector of 2, 4`."""
        return f"detector of {', '.join(f'{budget:g}' for budget in self.budgets)}"


class DefenceSettings(Model):
    """Defences, each against attacks that know it (Part C)."""

    networks: tuple[NetworkSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),), description="networks from scratch that are defended"
    )
    adversaries: tuple[AdversarySettings, ...] = Field(
        (AdversarySettings(attack="fgsm"), AdversarySettings()),
        description="against which they are trained again",
    )
    filters: tuple[FilterSettings, ...] = Field(
        (
            FilterSettings(kind="median", strength=3),
            FilterSettings(kind="gaussian", strength=1),
            FilterSettings(kind="bits", strength=4),
        ),
        description="put in front of them",
    )
    detectors: tuple[DetectorSettings, ...] = Field(
        (DetectorSettings(),), description="beside them"
    )
    budgets: tuple[Budget, ...] = Field(
        (1, 2, 4, 8), min_length=1, description="of FGSM and PGD, in 255ths"
    )


class PoisoningSettings(Model):
    """Poisoned training images, and what they do (Part C)."""

    networks: tuple[NetworkSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),), description="networks from scratch that are poisoned"
    )
    kinds: tuple[PoisonName, ...] = Field(
        ("labels", "patch"), description="wrong labels, or a patch that opens a backdoor"
    )
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0, 0.1), description="shares of the training images; 0: the same, not poisoned"
    )
    target: int = Field(0, ge=0, description="class, from 0, that the patch is to be taken for")
    patch_size: float = Field(0.1, gt=0, le=0.5, description="side of the patch, in image sides")
