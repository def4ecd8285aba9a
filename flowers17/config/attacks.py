"""Settings of attacks (Part C)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from flowers17.config.base import Model
from flowers17.config.ensemble import MemberSettings, MetaLearnerName

AttackName = Literal["noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel"]
MethodName = Literal["chosen", "average", "weighted_average", MetaLearnerName]


class TargetedSettings(Model):
    """PGD towards targets: the source/target matrix."""

    n_images: int = Field(102, ge=1, le=100_000, description="images attacked, at most")
    n_targets: int = Field(
        16, ge=1, le=1000, description="targets of each image, drawn from the other classes"
    )


class JsmaSettings(Model):
    """The Jacobian-based saliency map attack."""

    n_images: int = Field(17, ge=1, le=100_000, description="images attacked, at most")
    n_targets: int = Field(
        1, ge=1, le=1000, description="targets of each image, drawn from the other classes"
    )
    theta: float = Field(1.0, ge=-1, le=1, description="what a step adds to a feature; not 0")
    gamma: float = Field(0.145, gt=0, le=1, description="share of the features that may change")
    variant: Literal["pairwise", "single"] = Field(
        "pairwise", description="two features by all classes, as in the paper, or by the target's"
    )

    @model_validator(mode="after")
    def _check_theta(self) -> "JsmaSettings":
        if self.theta == 0:
            raise ValueError("expected a theta other than 0, which changes nothing, got 0")
        return self


class OnePixelSettings(Model):
    """The one-pixel attack."""

    n_images: int = Field(102, ge=1, le=100_000, description="images attacked, at most")
    n_pixels: int = Field(1, ge=1, le=1000, description="pixels that may change")
    population: int = Field(400, ge=3, le=100_000, description="candidates of an image")
    generations: int = Field(100, ge=0, le=100_000, description="generations of children, at most")
    images_per_batch: int = Field(
        4, ge=1, le=100_000, description="images after which a killed attack goes on"
    )


Budget = Annotated[float, Field(gt=0, le=255)]


class AttackSettings(Model):
    """Attacks on the study's models (Part C)."""

    models: tuple[MemberSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),),
        description="networks and classifiers attacked: as an ensemble's members, refitted on the "
        "split's training images",
    )
    methods: tuple[MethodName, ...] = Field(
        ("random_forest",),
        description="ways of combining in which the ensembles of the split are attacked, as black "
        "boxes; `chosen`: each one's own",
    )
    split: str = Field("clean", min_length=1, description="whose validation images are attacked")
    n_images: int = Field(
        340, ge=1, le=100_000, description="images attacked, at most, drawn evenly from the classes"
    )
    attacks: tuple[AttackName, ...] = Field(
        ("noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel"),
        description="`targeted` is PGD towards every class; networks alone have gradients",
    )
    budgets: tuple[Budget, ...] = Field(
        (0.5, 1, 2, 4, 8, 16, 32, 64, 128),
        description="L-infinity budgets of noise, FGSM and PGD, in 255ths: steps of 8-bit colours",
    )
    budget: Budget = Field(
        8, description="the one of targeted attacks, transfer and pictures, in 255ths"
    )
    pgd_steps: int = Field(20, ge=1, le=100_000, description="steps of PGD, each 2.5 ε over them")
    targeted: TargetedSettings = TargetedSettings()
    jsma: JsmaSettings = JsmaSettings()
    one_pixel: OnePixelSettings = OnePixelSettings()
    images_per_batch: int = Field(
        32, ge=1, le=100_000, description="images after which a killed attack goes on"
    )
