"""A study's settings, and those of its report and of the part on what to do next."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from flowers17.backbones.facts import backbone_of, known_facts, no_norms
from flowers17.config.attacks import AttackSettings, DefenceSettings, PoisoningSettings
from flowers17.config.base import Model
from flowers17.config.data import DatasetSettings, SplitSettings
from flowers17.config.ensemble import EnsembleSettings, NetworkSettings
from flowers17.config.learners import LearnersSettings, Share
from flowers17.config.pretrained import FeatureSettings, FineTunedSettings, FineTuningSettings
from flowers17.errors import InvalidSettings, hint_for, short_repr

ProfileName = Literal["demo", "quick", "report", "best"]
QuestionName = Literal["more_images", "labels", "certainty", "saliency", "costs"]


class NextStepsSettings(Model):
    """Which questions are asked of a study's models, and how."""

    questions: tuple[QuestionName, ...] = get_args(QuestionName)
    n_classifiers: int = Field(2, ge=1, le=100)
    learners: tuple[NetworkSettings, ...] = ()
    shares: tuple[Share, ...] = Field((0.1, 0.2, 0.35, 0.5, 0.7, 1.0), min_length=1)
    n_splits: int = Field(8, ge=1)
    coverage: float = Field(0.95, gt=0, lt=1)
    n_saliency_images: int = Field(6, ge=1, le=100)


class ReportSettings(Model):
    """What thresholds are chosen for where there are two classes."""

    recall: float = Field(0.95, gt=0, le=1)
    precision: float = Field(0.95, gt=0, le=1)


class StudySettings(Model):
    """Everything that decides a study's numbers."""

    seed: int = Field(17, ge=0, lt=2**31)
    class_weight: Literal["none", "balanced"] = "none"
    dataset: DatasetSettings = DatasetSettings()
    splits: SplitSettings = SplitSettings()
    learners: LearnersSettings = LearnersSettings()
    features: FeatureSettings = FeatureSettings()
    fine_tuning: FineTuningSettings = FineTuningSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    attacks: AttackSettings = AttackSettings()
    defences: DefenceSettings = DefenceSettings()
    poisoning: PoisoningSettings = PoisoningSettings()
    next_steps: NextStepsSettings = NextStepsSettings()
    report: ReportSettings = ReportSettings()

    @property
    def fine_tuned(self) -> tuple[FineTunedSettings, ...]:
        """Every network to fine-tune: of Table 9, repeated, our own, in ensembles, attacked."""
        members = [each for ensemble in self.ensemble.ensembles for each in ensemble.members]
        tuned = [member.fine_tuned for member in (*members, *self.attacks.models)]
        table = self.fine_tuning
        return (*table.networks, *table.repeated, *table.own, *filter(None, tuned))

    @model_validator(mode="after")
    def _check_cuts(self) -> "StudySettings":
        """Check where Keras's networks are cut; where others are, once they are built."""
        unfrozen = self.fine_tuning.unfrozen
        tuned = {backbone_of(each.maps.extractor).short_name for each in self.fine_tuned}
        pairs = {(name, "training") for name, _ in unfrozen if name != "others"}
        for name, _ in sorted(pairs):
            if name not in known_facts() and backbone_of(name).short_name not in tuned:
                raise InvalidSettings(
                    "setting fine_tuning.unfrozen: expected own networks that this study "
                    f"fine-tunes, got {short_repr(name)}; {hint_for(name, tuned, 'leave it out')}"
                )
        pairs |= {(each.maps.extractor, each.head.extractor_norms) for each in self.fine_tuned}
        for extractor, norms in sorted(pairs):
            if facts := backbone_of(extractor).facts:
                facts.cuts.name_of(extractor, unfrozen.of(extractor))
                # Batch normalisation alone has moving averages.
                if norms == "inference" and facts.n_trainable == facts.n_parameters:
                    raise no_norms(extractor, unfrozen.of(extractor))
        return self
