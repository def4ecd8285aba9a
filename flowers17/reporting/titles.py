"""How people call feature maps, and classifiers on them."""

from collections.abc import Sequence

from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.reporting.reference import CLASSIFIERS, EXTRACTORS


def map_title(one: FeatureMapSettings) -> str:
    """Return how people call a feature map.

    >>> map_title(FeatureMapSettings(extractor="mobilenet", input_size=224, pooling="average"))
    'MobileNet (224 px, averaged)'
    """
    return _title(one, _qualities(one))


def maps_title(maps: Sequence[FeatureMapSettings]) -> str:
    """Return how people call feature maps side by side; what all have is said once, at the end.

    >>> sizes = {"mobilenet": 224, "xception": 299}
    >>> maps_title([
    ...     FeatureMapSettings(extractor=name, input_size=size, pooling="average")
    ...     for name, size in sizes.items()
    ... ])
    'MobileNet (224 px) + Xception (299 px), averaged'
    """
    first, *others = maps
    if not others:
        return map_title(first)
    common = [one for one in _qualities(first) if all(one in _qualities(each) for each in others)]
    own = [[one for one in _qualities(each) if one not in common] for each in maps]
    titles = [_title(one, qualities) for one, qualities in zip(maps, own, strict=True)]
    return ", ".join([" + ".join(titles), *common])


def _title(one: FeatureMapSettings, qualities: Sequence[str]) -> str:
    parts = [f"{one.input_size} px"] if one.input_size else []
    parts += qualities
    title = EXTRACTORS[one.extractor]
    return f"{title} ({', '.join(parts)})" if parts else title


def _qualities(one: FeatureMapSettings) -> list[str]:
    found = ["originals"] if one.pixels == "original" else []
    found += ["averaged"] if one.pooling == "average" else []
    return found + (["both ways round"] if one.mirrored else [])


def classifier_title(combination: CombinationSettings) -> str:
    """Return how people call a classifier and what was done around it."""
    parts = [CLASSIFIERS[combination.classifier]]
    if combination.n_components:
        parts.append(f"{combination.n_components} principal components")
    parts += ["searched"] if combination.search else []
    return ", ".join(parts)
