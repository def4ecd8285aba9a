"""How a part of the study runs: by itself with a report of its own, or within the whole study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowers17.config import RunOptions, StudySettings
from flowers17.reporting.reference import PartName
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows.shared_stages import data
from tasks import report
from tasks.engine import Results, run_stages, sharing
from tasks.results import raise_if_nothing


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

        Raises StagesFailed, also if none of its own results could be made.
        """
        settings, options = request.settings, request.options
        own = self.parts(settings, options)
        results = run_stages(own if sharing() else self.stages(settings, options), options)
        raise_if_nothing(own, results)
        return results
