"""Flow `dataset`: images, near-duplicates, splits, and the data sheet."""

from flowers17.config import RunOptions, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import Part
from flows.shared_stages import data
from flows.study_flow import study_flow
from tasks import datasheet
from tasks.engine import Results


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of the data: the table of contents of this flow."""
    return [datasheet.stage(*data(settings))]


PART = Part("data", "dataset", parts)
stages = PART.stages


@study_flow
def dataset(request: StudyRequest = StudyRequest()) -> Results:
    """Prepare the images: decode, find near-duplicates, split, describe."""
    return PART.run(request)
