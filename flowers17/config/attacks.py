"""Settings of attacks (Part C)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from flowers17.config.base import Model
from flowers17.config.ensemble import MemberSettings, MetaLearnerName

AttackName = Literal["noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel"]
MethodName = Literal["chosen", "average", "weighted_average", MetaLearnerName]


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


Budget = Annotated[float, Field(gt=0, le=255)]


class AttackSettings(Model):
    """Attacks on the study's models (Part C)."""

    models: tuple[MemberSettings, ...] = (MemberSettings(learner="mk-2"),)
    methods: tuple[MethodName, ...] = ("random_forest",)
    split: str = Field("clean", min_length=1)
    n_images: int = Field(340, ge=1, le=100_000)
    attacks: tuple[AttackName, ...] = ("noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel")
    budgets: tuple[Budget, ...] = (0.5, 1, 2, 4, 8, 16, 32, 64, 128)
    budget: Budget = 8
    pgd_steps: int = Field(20, ge=1, le=100_000)
    targeted: TargetedSettings = TargetedSettings()
    jsma: JsmaSettings = JsmaSettings()
    one_pixel: OnePixelSettings = OnePixelSettings()
    images_per_batch: int = Field(32, ge=1, le=100_000)
