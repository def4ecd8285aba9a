"""Flow `report`: everything that exists, as one page, tables, figures and `results.json`."""

import os
import shutil

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.config import RunOptions, StudySettings
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import Stage
from flows import attacks, dataset, ensemble, features, finetune, learners, next_steps
from flows.study_flow import study_flow
from tasks import report as report_stage
from tasks.engine import Results, run_stages
from tasks.results import StagesFailed

# In the order in which the study builds them: what two parts need belongs to the first.
PARTS = [
    flow.PART for flow in (dataset, learners, features, finetune, ensemble, attacks, next_steps)
]


def stages(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stage of the report, which reads those of all parts."""
    parts = {part.name: part.parts(settings, options) for part in PARTS}
    return [report_stage.stage(settings, parts)]


@study_flow
def report(request: StudyRequest = StudyRequest()) -> Results:
    """Build what is missing, then write page, tables, figures and results.

    They lie in `report/` in the store's folder. Where stages failed, they are written on what there
    is, before StagesFailed is raised.
    """
    store = open_store(request.store)
    results = Results()
    try:
        results = run_stages(stages(request.settings, request.options), request.options)
    except StagesFailed as problem:
        results = problem.results
        raise
    finally:
        if isinstance(result := results.get("report"), Reference):
            export(store, store.open(result))
    return results


def export(store: Store, artifact: Artifact) -> None:
    """Copy the report's files to `report/` in the store's folder or cache, replacing it whole."""
    target = store.root / "report"
    with store.lock("report", "export"), store.writing("report", "export") as folder:
        shutil.copytree(artifact.path, folder / "new")
        if os.path.lexists(target):  # a link is moved, not what it leads to
            target.rename(folder / "old")
        (folder / "new").rename(target)
