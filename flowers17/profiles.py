"""Profiles: named presets over the settings."""

from flowers17.config import (
    ClassifierSettings,
    CombinationSettings,
    DatasetSettings,
    FeatureMapSettings,
    FeatureSettings,
    ProfileName,
    RandomForestSettings,
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

_DEMO = StudySettings(
    dataset=DatasetSettings(source="rendered", image_size=80, n_classes=17, images_per_class=20),
    splits=SplitSettings(n_repeats=3),
    features=FeatureSettings(
        weights="random",
        classifiers=ClassifierSettings(random_forest=RandomForestSettings(n_estimators=200)),
        combinations=(
            CombinationSettings(maps=(FeatureMapSettings(extractor="mobilenet"),), search=True),
            CombinationSettings(
                maps=(
                    FeatureMapSettings(extractor="mobilenet"),
                    FeatureMapSettings(extractor="vgg16"),
                )
            ),
        ),
    ),
)

_QUICK = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=(MOBILENET_224_UPSAMPLED,)),
            CombinationSettings(maps=(MOBILENET_224,)),
            CombinationSettings(maps=(MOBILENET_224, XCEPTION_299)),
        )
    ),
)

_TOGETHER = (MOBILENET_224, XCEPTION_299)

_BEST = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    splits=SplitSettings(n_repeats=16),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=_TOGETHER),
            CombinationSettings(maps=_TOGETHER, search=True),
            CombinationSettings(maps=_TOGETHER, classifier="svm"),
            CombinationSettings(maps=_TOGETHER, n_components=256),
        )
    ),
)

PROFILES: dict[ProfileName, StudySettings] = {
    "demo": _DEMO,
    "quick": _QUICK,
    "report": StudySettings(dataset=DatasetSettings(source="oxford17")),
    "best": _BEST,
}
