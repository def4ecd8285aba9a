"""Settings of ensembles and their members (Part A.2)."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from flowers17.config.base import Model
from flowers17.config.learners import AugmentationName
from flowers17.config.pretrained import (
    ClassifierName,
    CombinationSettings,
    FeatureMapSettings,
    FineTunedSettings,
)

MetaLearnerName = Literal["random_forest", "logistic_regression", "gradient_boosting"]


class MemberSettings(Model):
    """One base model of an ensemble: a network from scratch or fine-tuned, or a classifier."""

    learner: str | None = None
    recipe: Literal["report", "best"] = "report"
    augmentation: AugmentationName = "wide"
    classifier: ClassifierName | None = None
    maps: tuple[FeatureMapSettings, ...] = ()
    fine_tuned: FineTunedSettings | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> "MemberSettings":
        kinds = [self.learner is not None, bool(self.classifier), bool(self.fine_tuned)]
        if sum(kinds) != 1 or bool(self.classifier) != bool(self.maps):
            raise ValueError(
                "expected either `learner`, or `classifier` and `maps`, or `fine_tuned`, got "
                f"learner {self.learner!r}, classifier {self.classifier!r}, {len(self.maps)} maps "
                f"and {'a' if self.fine_tuned else 'no'} fine-tuned network; give one of the three"
            )
        return self

    @property
    def name(self) -> str:
        """Display name, e.g. `mk-2 wide`, `residual best`, `svm on mobilenet`."""
        if self.fine_tuned:
            return self.fine_tuned.name
        if self.learner is not None:
            training = "best" if self.recipe == "best" else self.augmentation
            return self.learner if training == "none" else f"{self.learner} {training}"
        return f"{self.classifier} on {' + '.join(feature_map.name for feature_map in self.maps)}"

    @property
    def combination(self) -> CombinationSettings:
        """The classifier and its feature maps."""
        return CombinationSettings.model_validate(
            {"maps": self.maps, "classifier": self.classifier}
        )


def _from_scratch(member: MemberSettings) -> MemberSettings:
    if member.learner is None:
        raise ValueError(f"expected a network from scratch, got {member.name}; give its `learner`")
    return member


NetworkSettings = Annotated[MemberSettings, AfterValidator(_from_scratch)]


class EnsembleDefinition(Model):
    """Base models whose probabilities are averaged and stacked."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    members: tuple[MemberSettings, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check_members(self) -> "EnsembleDefinition":
        names = [member.name for member in self.members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(
                f"ensemble {self.name}: expected distinct members, got {twice} twice; drop one"
            )
        return self


class EnsembleSettings(Model):
    """Out-of-fold probabilities, averaging and stacking (Part A.2)."""

    ensembles: tuple[EnsembleDefinition, ...] = (
        EnsembleDefinition(
            name="study",
            members=tuple(MemberSettings(learner=f"mk-{number}") for number in range(2, 7)),
        ),
    )
    splits: tuple[str, ...] = Field(("clean",), min_length=1)
    n_folds: int = Field(5, ge=2, le=20)
    choosing_fraction: float = Field(0.2, gt=0, lt=1)
    meta_learners: tuple[MetaLearnerName, ...] = Field(get_args(MetaLearnerName), min_length=1)
