"""Profiles: named presets over the settings."""

from flowers17.config import (
    CombinationSettings,
    DatasetSettings,
    FeatureMapSettings,
    FeatureSettings,
    ProfileName,
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
    dataset=DatasetSettings(source="rendered", image_size=96, n_classes=17, images_per_class=24),
    splits=SplitSettings(n_repeats=4),
    features=FeatureSettings(
        weights="random",
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

PROFILES: dict[ProfileName, StudySettings] = {
    "demo": _DEMO,
    "quick": _QUICK,
    "report": StudySettings(dataset=DatasetSettings(source="oxford17")),
    "best": _QUICK,
}
