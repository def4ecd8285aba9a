"""A study's settings."""

from typing import Literal

from pydantic import Field

from flowers17.config.attacks import AttackSettings
from flowers17.config.base import Model
from flowers17.config.data import DatasetSettings, SplitSettings
from flowers17.config.defences import DefenceSettings, PoisoningSettings
from flowers17.config.ensemble import EnsembleSettings
from flowers17.config.features import FeatureSettings
from flowers17.config.fine_tuning import FineTuningSettings
from flowers17.config.learners import LearnersSettings
from flowers17.config.report import ReportSettings

ProfileName = Literal["demo", "quick", "report", "best"]


class StudySettings(Model):
    """Everything that decides a study's numbers."""

    seed: int = Field(17, ge=0, lt=2**31, description="root of every derived seed")
    class_weight: Literal["none", "balanced"] = Field(
        "none",
        description="in every fit, classes count by their images, or alike (`balanced`: an image "
        "of a rare class counts for more); k-nearest neighbours have no weights",
    )
    dataset: DatasetSettings = DatasetSettings()
    splits: SplitSettings = SplitSettings()
    learners: LearnersSettings = LearnersSettings()
    features: FeatureSettings = FeatureSettings()
    fine_tuning: FineTuningSettings = FineTuningSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    attacks: AttackSettings = AttackSettings()
    defences: DefenceSettings = DefenceSettings()
    poisoning: PoisoningSettings = PoisoningSettings()
    report: ReportSettings = ReportSettings()
