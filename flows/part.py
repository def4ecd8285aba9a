"""How a part of the study runs: by itself with a report of its own, or within the whole study."""

from collections.abc import Callable, Sequence

from flowers17.artifacts import Reference
from flowers17.config import Places, StudySettings
from flowers17.reporting.reference import PartName
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import Stage
from flows.data import data
from tasks import report
from tasks.engine import Results, StagesFailed, at_work, run_stages, sharing

StagesOf = Callable[[StudySettings, Places], Sequence[Stage]]


def reported(
    settings: StudySettings, part: PartName, stages: Sequence[Stage], title: str
) -> list[Stage]:
    """Return the report on the stages of one part and on the data that they read."""
    return [report.stage(settings, {"data": data(settings), part: stages}, f"report on {title}")]


def run_part(request: StudyRequest, parts: StagesOf, stages: StagesOf) -> Results:
    """Run a part's stages; call it from the part's flow.

    parts: what the whole study takes of it. stages: what it runs by itself, its report among them.
    StagesFailed names the page that was written on what there is, if one was.
    """
    chosen = parts if sharing() else stages
    with at_work(request.places):
        try:
            return run_stages(chosen(request.settings, request.places), request.places)
        except StagesFailed as problem:
            store = open_store(request.store)
            for result in problem.results.values():
                if isinstance(result, Reference) and result.stage == "study":
                    raise problem.naming(store.open(result).file("index.html")) from problem
            raise
