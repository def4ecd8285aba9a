"""Display names of networks, feature maps, classifiers on them, and ensembles."""

from collections.abc import Sequence

from flowers17.backbones.facts import backbone_of, known_facts
from flowers17.config import CombinationSettings, FeatureMapSettings, MemberSettings
from flowers17.reporting.reference import AUGMENTATIONS, CLASSIFIERS, EXTRACTORS, LEARNERS


def learner_title(name: str) -> str:
    """Display name of a learner.

    >>> learner_title("mk-2"), learner_title("residual")
    ('Mk-2', 'residual')
    """
    return LEARNERS.get(name, name)


def augmentation_title(name: str) -> str:
    """Display name of an augmentation.

    >>> augmentation_title("wide")
    '#3 wide mix'
    """
    return AUGMENTATIONS.get(name, name)


def trained_tag(random_weights: bool) -> str:
    """The warning that belongs to numbers of untrained weights; empty for others."""
    return "untrained weights" if random_weights else ""


def extractor_title(extractor: str) -> str:
    """Display name of an extractor: the study's, that of Keras's function, or its own.

    >>> extractor_title("xception"), extractor_title("efficientnetv2b0")
    ('Xception', 'EfficientNetV2B0')
    """
    facts = known_facts().get(extractor)
    name = facts.function if facts else backbone_of(extractor).short_name
    return EXTRACTORS.get(extractor, name)


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
    title = extractor_title(settings.extractor)
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


def method_title(name: str) -> str:
    """Display name of a method that combines members.

    >>> method_title("weighted_average"), method_title("random_forest")
    ('weighted average', 'stacking, random forest')
    """
    title = name.replace("_", " ")
    return title if title.endswith("average") else f"stacking, {title}"


def member_title(member: MemberSettings, *, short: bool) -> str:
    """Display name of a member: `Mk-2, #3 wide mix`; short: `Mk-2`."""
    if member.classifier:
        return f"{CLASSIFIERS[member.classifier]} on {maps_title(member.maps)}"
    if not member.learner:
        return member.name
    title, own = learner_title(member.learner), member.recipe == "best"
    training = "our own recipe" if own else augmentation_title(member.augmentation)
    return title if short else f"{title}, {training}"
