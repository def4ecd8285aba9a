"""Profiles: named presets over the settings."""

from flowers17.config import (
    ClassifierSettings,
    CombinationSettings,
    DatasetSettings,
    EnsembleDefinition,
    EnsembleSettings,
    FeatureMapSettings,
    FeatureSettings,
    LearnersSettings,
    MemberSettings,
    ProfileName,
    RandomForestSettings,
    RecipeSettings,
    SplitSettings,
    StudySettings,
)

MOBILENET_224 = FeatureMapSettings(
    extractor="mobilenet", input_size=224, pixels="original", pooling="average"
)
XCEPTION_299 = FeatureMapSettings(
    extractor="xception", input_size=299, pixels="original", pooling="average"
)
MOBILENET_224_UPSAMPLED = FeatureMapSettings(
    extractor="mobilenet", input_size=224, pooling="average"
)

MOBILENET = FeatureMapSettings(extractor="mobilenet")
VGG16 = FeatureMapSettings(extractor="vgg16")

BEST_RECIPE = LearnersSettings().best_recipe

_DEMO = StudySettings(
    dataset=DatasetSettings(source="rendered", image_size=80, n_classes=17, images_per_class=20),
    splits=SplitSettings(n_repeats=3),
    learners=LearnersSettings(
        plain=("baseline", "mk-2"),
        augmented=("mk-2",),
        recipe=RecipeSettings(epochs=4),
        augmented_epochs=4,
        best=("residual",),
        best_recipe=BEST_RECIPE.model_copy(update={"epochs": 6, "batch_size": 32}),
        best_splits=1,
    ),
    features=FeatureSettings(
        weights="random",
        classifiers=ClassifierSettings(random_forest=RandomForestSettings(n_estimators=200)),
        combinations=(
            CombinationSettings(maps=(MOBILENET,), search=True),
            CombinationSettings(maps=(MOBILENET, VGG16)),
        ),
    ),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="small",
                members=(
                    MemberSettings(learner="baseline", augmentation="none"),
                    MemberSettings(learner="mk-2", augmentation="none"),
                    MemberSettings(classifier="svm", maps=(MOBILENET,)),
                    MemberSettings(classifier="random_forest", maps=(VGG16,)),
                ),
            ),
        ),
        n_folds=3,
    ),
)

_QUICK = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    learners=LearnersSettings(
        plain=("baseline", "mk-1", "mk-2"),
        augmented=("mk-2",),
        augmentations=("wide",),
        recipe=RecipeSettings(epochs=10),
        augmented_epochs=10,
        best=("residual",),
        best_recipe=BEST_RECIPE.model_copy(update={"epochs": 20}),
        best_splits=1,
    ),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=(MOBILENET_224_UPSAMPLED,)),
            CombinationSettings(maps=(MOBILENET_224,)),
            CombinationSettings(maps=(MOBILENET_224, XCEPTION_299)),
        )
    ),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="small",
                members=(
                    MemberSettings(learner="baseline", augmentation="none"),
                    MemberSettings(learner="mk-1", augmentation="none"),
                    MemberSettings(classifier="svm", maps=(MOBILENET,)),
                    MemberSettings(classifier="logistic_regression", maps=(MOBILENET,)),
                    MemberSettings(classifier="random_forest", maps=(VGG16,)),
                ),
            ),
        ),
        n_folds=3,
    ),
)

_TOGETHER = (MOBILENET_224, XCEPTION_299)

_BEST = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    splits=SplitSettings(n_repeats=16),
    learners=LearnersSettings(plain=(), augmented=(), best=("residual",)),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=_TOGETHER),
            CombinationSettings(maps=_TOGETHER, search=True),
            CombinationSettings(maps=_TOGETHER, classifier="svm"),
            CombinationSettings(maps=_TOGETHER, n_components=256),
        )
    ),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="best",
                members=(
                    MemberSettings(learner="residual", recipe="best"),
                    MemberSettings(classifier="logistic_regression", maps=_TOGETHER),
                    MemberSettings(classifier="svm", maps=_TOGETHER),
                    MemberSettings(classifier="logistic_regression", maps=(MOBILENET_224,)),
                    MemberSettings(classifier="logistic_regression", maps=(XCEPTION_299,)),
                ),
            ),
        ),
        splits=("clean", "repeat-01", "repeat-02"),
    ),
)

PROFILES: dict[ProfileName, StudySettings] = {
    "demo": _DEMO,
    "quick": _QUICK,
    "report": StudySettings(dataset=DatasetSettings(source="oxford17")),
    "best": _BEST,
}
