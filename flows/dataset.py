"""Flow `dataset`: images, near-duplicates, splits, and the data sheet."""

from prefect import flow

from flowers17.config import Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.part import run_part
from tasks import datasheet, duplicates, images, report, splits
from tasks.engine import Results


def parts(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the stages of the data: the table of contents of this flow."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    divided = splits.stage(settings, pictures, pairs)
    return [datasheet.stage(pictures, pairs, divided)]


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return what the flow runs by itself: its parts, and their tables and figures."""
    return [report.stage(settings, parts(settings, places), label="report on dataset")]


@flow(name="dataset")
def dataset(request: StudyRequest = StudyRequest()) -> Results:
    """Prepare the images: decode, find near-duplicates, split, describe."""
    return run_part(request, parts, stages)
