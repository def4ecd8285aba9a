"""Typed, frozen settings of a study, and the options of a run.

`StudySettings` decides a study's numbers. Folders, runner and workers are in
`RunOptions`, which never enters an artifact's key. Profiles over them are in `profiles`, and the
request for a study in `request`. Other modules import settings from here.
"""

from flowers17.config.attacks import (
    AttackName,
    AttackSettings,
    Budget,
    JsmaSettings,
    MethodName,
    OnePixelSettings,
    TargetedSettings,
)
from flowers17.config.base import Model
from flowers17.config.data import DatasetSettings, ResizeName, SplitSettings
from flowers17.config.defences import (
    DefenceSettings,
    DetectorSettings,
    FilterSettings,
    PoisoningSettings,
    PoisonName,
)
from flowers17.config.ensemble import (
    EnsembleDefinition,
    EnsembleSettings,
    MemberSettings,
    MetaLearnerName,
    NetworkSettings,
)
from flowers17.config.features import (
    COLUMN_CLASSIFIERS,
    ClassifierName,
    ClassifierSettings,
    CombinationSettings,
    ExtractorName,
    FeatureMapSettings,
    FeatureSettings,
    LogisticRegressionSettings,
    NaiveBayesSettings,
    NeighboursSettings,
    RandomForestSettings,
    SvmSettings,
)
from flowers17.config.fine_tuning import (
    FineTunedSettings,
    FineTuningSettings,
    HeadSettings,
    UnfrozenSettings,
)
from flowers17.config.learners import (
    AdversarySettings,
    AugmentationName,
    ConvolutionsName,
    LearnerDefinition,
    LearnersSettings,
    OptimizerName,
    PrecisionName,
    RecipeSettings,
)
from flowers17.config.next_steps import NextStepsSettings
from flowers17.config.report import ReportSettings
from flowers17.config.run_options import CommonOptions, DeviceName, RunnerName, RunOptions
from flowers17.config.study import ProfileName, StudySettings
