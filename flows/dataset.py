"""Flow `dataset`: images, near-duplicates, splits, and the data sheet."""

from flowers17.config import RunOptions, StudySettings
from flowers17.stages import Stage
from flows.part import Part, data
from tasks import splits


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of the data: the table of contents of this flow."""
    return [splits.datasheet_stage(*data(settings))]


PART = Part("data", "dataset", parts)
stages = PART.stages
dataset = PART.flow("dataset")
