"""Flow `report`: everything that exists, as one page, tables, figures and `results.json`."""

import shutil
import uuid
from pathlib import Path

from prefect import flow

from flowers17.artifacts import Artifact, Store
from flowers17.config import Places, StudySettings
from flowers17.request import StudyRequest
from flowers17.stages import Stage
from flows import dataset, features
from tasks import report as report_stage
from tasks.engine import Absent, Results, run_stages


def stages(settings: StudySettings, places: Places) -> list[Stage]:
    """Return the report's stage, which reads those of all parts."""
    parts = [*dataset.parts(settings, places), *features.parts(settings, places)]
    return [report_stage.stage(settings, parts)]


@flow(name="report")
def report(request: StudyRequest = StudyRequest()) -> Results:
    """Build what is missing, then write the report to `report/` in the store's folder."""
    results = run_stages(stages(request.settings, request.places), request.places)
    store = Store(request.store)
    written = results["report"]
    if not isinstance(written, Absent):
        export(store.open(written), store.root / "report")
    return results


def export(artifact: Artifact, target: Path) -> None:
    """Copy the report's files to a folder of their own, replacing it whole."""
    fresh = target.with_name(f".report-{uuid.uuid4().hex[:8]}")
    try:
        shutil.copytree(artifact.path, fresh)
        if target.exists():
            target.rename(fresh / ".replaced")
        fresh.rename(target)
        shutil.rmtree(target / ".replaced", ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
