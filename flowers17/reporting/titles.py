"""Display names of feature maps, and of classifiers on them."""

from collections.abc import Sequence

from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting.reference import CLASSIFIERS, EXTRACTORS


def trained_tag(random_weights: bool) -> str:
    """The warning that belongs to numbers of untrained weights; empty for others."""
    return "untrained weights" if random_weights else ""


def map_title(settings: FeatureMapSettings) -> str:
    """Display name of a feature map.

    >>> map_title(FeatureMapSettings(extractor="mobilenet", input_size=224, pooling="average"))
    'MobileNet (224 px, averaged)'
    """
    return _title(settings, _qualities(settings))


def maps_title(maps: Sequence[FeatureMapSettings]) -> str:
    """Display name of feature maps side by side; what all share stands once, at the end.

    >>> sizes = {"mobilenet": 224, "xception": 299}
    >>> maps_title([
    ...     FeatureMapSettings(extractor=name, input_size=size, pooling="average")
    ...     for name, size in sizes.items()
    ... ])
    'MobileNet (224 px) + Xception (299 px), averaged'
    """
    if len(maps) == 1:
        return map_title(maps[0])
    qualities = [_qualities(settings) for settings in maps]
    common = [quality for quality in qualities[0] if all(quality in each for each in qualities)]
    titles = [
        _title(settings, [quality for quality in each if quality not in common])
        for settings, each in zip(maps, qualities, strict=True)
    ]
    return ", ".join([" + ".join(titles), *common])


def _title(settings: FeatureMapSettings, qualities: Sequence[str]) -> str:
    parts = [f"{settings.input_size} px"] if settings.input_size else []
    parts += qualities
    title = EXTRACTORS[settings.extractor]
    return f"{title} ({', '.join(parts)})" if parts else title


def _qualities(settings: FeatureMapSettings) -> list[str]:
    qualities = {
        "originals": settings.pixels == "original",
        "averaged": settings.pooling == "average",
        "both ways round": settings.mirrored,
    }
    return [quality for quality, holds in qualities.items() if holds]


def classifier_title(combination: CombinationSettings) -> str:
    """Display name of a classifier, with what was done around it."""
    parts = [CLASSIFIERS[combination.classifier]]
    if combination.n_components:
        parts.append(f"{combination.n_components} principal components")
    parts += ["searched"] if combination.search else []
    return ", ".join(parts)
