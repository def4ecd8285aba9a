"""The stages that every part of the study reads: images, near-duplicates, splits."""

from typing import NamedTuple

from flowers17.config import StudySettings
from flowers17.stages import Stage
from tasks import duplicates, images, splits


class Data(NamedTuple):
    """The prepared data set: images at the study's size, their near-duplicates, their splits."""

    images: Stage
    duplicates: Stage
    splits: Stage


def data(settings: StudySettings) -> Data:
    """Stages of the data."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    return Data(pictures, pairs, splits.stage(settings, pictures, pairs))
