"""Flow `dataset`: images, near-duplicates, splits, and the data sheet."""

from flowers17.config import RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part
from flows.shared_stages import data
from tasks import datasheet


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of the data: the table of contents of this flow."""
    return [datasheet.stage(*data(settings))]


PART = Part("data", "dataset", parts)
stages = PART.stages
dataset = PART.flow("dataset")
