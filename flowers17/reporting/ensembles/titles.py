"""Display names of members, and of the methods that combine them."""

from flowers17.config import MemberSettings
from flowers17.reporting.learners.cells import augmentation_title, learner_title
from flowers17.reporting.reference import CLASSIFIERS
from flowers17.reporting.titles import maps_title


def meta_learner_title(name: str) -> str:
    """Display name of a meta-learner: `random forest`."""
    return name.replace("_", " ")


def method_title(name: str) -> str:
    """Display name of a method that combines members.

    >>> method_title("weighted_average"), method_title("random_forest")
    ('weighted average', 'stacking, random forest')
    """
    if name in ("average", "weighted_average"):
        return name.replace("_", " ")
    return f"stacking, {meta_learner_title(name)}"


def member_title(member: MemberSettings, *, short: bool) -> str:
    """Display name of a member: `Mk-2, #3 wide mix`; short: `Mk-2`."""
    if member.classifier:
        return f"{CLASSIFIERS[member.classifier]} on {maps_title(member.maps)}"
    if not member.learner:
        return member.name
    title, own = learner_title(member.learner), member.recipe == "best"
    training = "our own recipe" if own else augmentation_title(member.augmentation)
    return title if short else f"{title}, {training}"
