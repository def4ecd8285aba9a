"""Typed, frozen settings of a study, and the options of a run.

`StudySettings` decides a study's numbers. Folders, runner and workers are in
`RunOptions`, which never enters an artifact's key. Profiles over them are in `profiles`, and the
request for a study in `request`. Other modules import settings from here.
"""

from flowers17.config.attacks import (
    AttackName,
    AttackSettings,
    DefenceSettings,
    DetectorSettings,
    ExploratorySettings,
    FilterSettings,
    JsmaSettings,
    OnePixelSettings,
    PoisonName,
    TargetedSettings,
)
from flowers17.config.base import Model
from flowers17.config.data import DatasetSettings, ResizeName, SplitSettings
from flowers17.config.ensemble import EnsembleDefinition, EnsembleSettings, MemberSettings
from flowers17.config.learners import (
    AdversarySettings,
    AugmentationName,
    ConvolutionsName,
    LearnerDefinition,
    LearnersSettings,
    PrecisionName,
    RecipeSettings,
)
from flowers17.config.pretrained import (
    COLUMN_CLASSIFIERS,
    ClassifierSettings,
    CombinationSettings,
    FeatureMapSettings,
    FeatureSettings,
    FineTunedSettings,
    FineTuningSettings,
    HeadSettings,
    LogisticRegressionSettings,
    NaiveBayesSettings,
    NeighboursSettings,
    RandomForestSettings,
    SvmSettings,
)
from flowers17.config.run_options import CommonOptions, DeviceName, RunOptions
from flowers17.config.study import ProfileName, StudySettings
