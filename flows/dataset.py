"""Flow `dataset`: images, near-duplicates, splits, and the data sheet."""

from prefect import flow

from flowers17.config import Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.data import data
from flows.part import reported, run_part
from tasks import datasheet
from tasks.engine import Results


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of the data: the table of contents of this flow."""
    return [datasheet.stage(*data(settings))]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return reported(settings, "data", parts(settings, places), "dataset")


@flow(name="dataset")
def dataset(request: StudyRequest = StudyRequest()) -> Results:
    """Prepare the images: decode, find near-duplicates, split, describe."""
    return run_part(request, parts, stages)
