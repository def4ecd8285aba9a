"""Flow `study`: all parts that exist, one after the other, and the report."""

from contextlib import suppress

from flowers17.errors import StageFailed
from flowers17.request import StudyRequest
from flows.attacks import attacks
from flows.dataset import dataset
from flows.ensemble import ensemble
from flows.features import features
from flows.finetune import finetune
from flows.learners import learners
from flows.next_steps import next_steps
from flows.report import report, stages
from flows.study_flow import study_flow
from tasks.engine import Results, shared_results


@study_flow
def study(request: StudyRequest = StudyRequest()) -> Results:
    """Run the whole study; a part that fails does not hold up the others, nor the report."""
    stages(request.settings, request.options)  # what is wrong is refused now, not hours later
    with shared_results():
        for part in (dataset, learners, features, finetune, ensemble, attacks, next_steps):
            with suppress(StageFailed):  # said again by the report, which goes without
                part(request)
        return report(request)
