"""How a part of the study runs: by itself with a report of its own, or within the whole study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowers17.artifacts import Reference
from flowers17.config import RunOptions, StudySettings
from flowers17.reporting.reference import PartName
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import Stage
from flows.shared_stages import data
from tasks import report
from tasks.engine import Results, StagesFailed, at_work, run_stages, sharing


@dataclass(frozen=True)
class Part:
    """A part of the study: its name in the report, its title, and its stages."""

    name: PartName
    title: str
    parts: Callable[[StudySettings, RunOptions], Sequence[Stage]]

    def stages(self, settings: StudySettings, options: RunOptions) -> list[Stage]:
        """Stages that it runs by itself: a report on its own and on the data."""
        parts = {"data": data(settings), self.name: self.parts(settings, options)}
        return [report.stage(settings, parts, label=f"report on {self.title}")]

    def run(self, request: StudyRequest) -> Results:
        """Run it, within the study without its report; call it from the part's flow.

        StagesFailed names the page that was written on what there is, if one was.
        """
        stages = self.parts if sharing() else self.stages
        with at_work(request.options):
            try:
                return run_stages(stages(request.settings, request.options), request.options)
            except StagesFailed as problem:
                store = open_store(request.store)
                for result in problem.results.values():
                    if isinstance(result, Reference) and result.stage == "study":
                        raise problem.naming(store.open(result).file("index.html")) from problem
                raise
