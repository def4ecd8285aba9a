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
from flowers17.config.next_steps import NextStepsSettings
from flowers17.config.report import ReportSettings

ProfileName = Literal["demo", "quick", "report", "best"]


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
