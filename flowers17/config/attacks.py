"""Settings of attacks, defences and poisoning (Part C)."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from flowers17.config.base import Model
from flowers17.config.ensemble import MemberSettings, MetaLearnerName, NetworkSettings
from flowers17.config.learners import AdversarySettings, AugmentationName, RecipeSettings

AttackName = Literal["noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel", "exploratory"]
MethodName = Literal["chosen", "average", "weighted_average", MetaLearnerName]
PoisonName = Literal["labels", "patch"]
Budget = Annotated[float, Field(gt=0, le=255)]


class TargetedSettings(Model):
    """PGD towards targets: the source/target matrix."""

    n_images: int = Field(102, ge=1, le=100_000)
    n_targets: int = Field(16, ge=1, le=1000)


class JsmaSettings(Model):
    """The Jacobian-based saliency map attack."""

    n_images: int = Field(17, ge=1, le=100_000)
    n_targets: int = Field(1, ge=1, le=1000)
    theta: float = Field(1.0, ge=-1, le=1)
    gamma: float = Field(0.145, gt=0, le=1)
    variant: Literal["pairwise", "single"] = "pairwise"

    @model_validator(mode="after")
    def _check_theta(self) -> "JsmaSettings":
        if self.theta == 0:
            raise ValueError("expected a theta other than 0, which changes nothing, got 0")
        return self


class OnePixelSettings(Model):
    """The one-pixel attack."""

    n_images: int = Field(102, ge=1, le=100_000)
    n_pixels: int = Field(1, ge=1, le=1000)
    population: int = Field(400, ge=3, le=100_000)
    generations: int = Field(100, ge=0, le=100_000)
    images_per_batch: int = Field(4, ge=1, le=100_000)


class ExploratorySettings(Model):
    """A surrogate network that an adversary trains on a model's answers, its predicted classes."""

    learner: str = Field("mk-1", pattern=r"^[a-z][a-z0-9-]*$")
    augmentation: AugmentationName = "wide"
    epochs: int = Field(30, ge=1, le=100_000)
    n_seeds: int = Field(51, ge=1, le=100_000)
    rounds: int = Field(4, ge=0, le=100)
    n_new: int = Field(400, ge=1, le=100_000)
    step: float = Field(25.5, ge=1, le=255)
    budgets: tuple[Budget, ...] = Field((8, 32), min_length=1)


class AttackSettings(Model):
    """Attacks on the study's models (Part C)."""

    models: tuple[MemberSettings, ...] = (MemberSettings(learner="mk-2"),)
    methods: tuple[MethodName, ...] = ("random_forest",)
    split: str = Field("clean", min_length=1)
    n_images: int = Field(340, ge=1, le=100_000)
    attacks: tuple[AttackName, ...] = get_args(AttackName)
    budgets: tuple[Budget, ...] = (0.5, 1, 2, 4, 8, 16, 32, 64, 128)
    budget: Budget = 8
    pgd_steps: int = Field(20, ge=1, le=100_000)
    pgd_restarts: int = Field(3, ge=1, le=1000)
    pgd_losses: tuple[Literal["cross_entropy", "margin"], ...] = Field(
        ("cross_entropy", "margin"), min_length=1
    )
    targeted: TargetedSettings = TargetedSettings()
    jsma: JsmaSettings = JsmaSettings()
    one_pixel: OnePixelSettings = OnePixelSettings()
    exploratory: ExploratorySettings = ExploratorySettings()
    images_per_batch: int = Field(32, ge=1, le=100_000)


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
