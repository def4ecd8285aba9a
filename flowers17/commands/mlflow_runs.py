"""Studies as runs of an MLflow tracking server, for teams that compare theirs there.

A study is a run: its settings as parameters, its metrics, its report's files. Each of its
trainings is a run below it, with the loss and accuracy of every epoch. A study's key is the run's
tag, so that what is there is not sent again.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowers17.errors import Flowers17Error, InvalidInput, TrackingFailed
from flowers17.manifests import read_as_written
from flowers17.materials import flat
from flowers17.reporting.studies.records import Manifest, Study, named_study, newest, studies_in

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY, PARENT = "flowers17.key", "mlflow.parentRunId"
HISTORY = "history.json"
MOST_PARAMETERS, MOST_METRICS, LONGEST = 100, 1000, 6000  # of one request, and of a value


@dataclass(frozen=True)
class StudyRun:
    """A study's run on the server: how many trainings are below it, whether it was there before."""

    study: str
    run: str
    n_trainings: int
    was_there: bool


def send(
    names: Sequence[str], store: Path | str, *, uri: str | None, experiment: str
) -> list[StudyRun]:
    """Runs of studies, which are sent to an MLflow server if they are not there yet.

    names: of studies, as `compare` takes them; none: all of the store. uri: of the server; None:
    what MLflow's own MLFLOW_TRACKING_URI says. experiment: made if there is none of that name.
    Raises what `named_study` raises, InvalidInput without MLflow or an address, TrackingFailed for
    a server that cannot be reached or refuses.
    """
    studies = [named_study(name, store) for name in names] or studies_in(store)
    newest(studies, store)  # raises if there is none
    file_alone = next((study for study in studies if not study.manifest), None)
    if file_alone:
        raise InvalidInput(
            f"{file_alone.title}: expected a study of a store, got a file alone; name it study/KEY"
        )
    try:
        target = _Experiment(_client(uri), experiment)
        with read_as_written(str(store)):
            return [target.study_run(study) for study in studies]
    except Flowers17Error:
        raise
    except Exception as problem:
        kinds = {kind.__name__ for kind in type(problem).__mro__}
        if not kinds & {"MlflowException", "ValueError"}:  # ValueError: an address that is none
            raise
        message = str(problem).strip().splitlines()[0]
        address = uri or os.environ.get("MLFLOW_TRACKING_URI")
        raise TrackingFailed(
            f"{address}: expected an MLflow server that takes runs, got: {message}; run the same "
            "command again once it does (what is there is not sent twice)"
        ) from problem


def _client(uri: str | None) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    try:
        from mlflow import MlflowClient
    except ImportError as problem:
        raise InvalidInput(
            f"expected the package mlflow-skinny, found none ({problem}); install "
            "flowers17[mlflow] (`make setup EXTRAS=mlflow`)"
        ) from None
    if not (uri or os.environ.get("MLFLOW_TRACKING_URI")):
        raise InvalidInput(
            "expected the address of an MLflow server, got none; give --to or set "
            "MLFLOW_TRACKING_URI"
        )
    return MlflowClient(tracking_uri=uri)


class _Experiment:
    """An experiment on the server, to which runs of artifacts are sent."""

    def __init__(self, client: "MlflowClient", name: str) -> None:
        self._client = client
        known = client.get_experiment_by_name(name)
        self._number = known.experiment_id if known else client.create_experiment(name)

    def study_run(self, study: Study) -> StudyRun:
        """Run of a study, sent with its trainings if it is not there yet."""
        key = study.manifest["key"]
        earlier_runs = self._runs(KEY, key)
        finished = next((run for run in earlier_runs if run.info.status == "FINISHED"), None)
        trainings = [part for part in study.parts.values() if HISTORY in part["files"]]
        if finished:
            return StudyRun(study.title, finished.info.run_id, len(trainings), was_there=True)
        for unfinished in earlier_runs:  # of a killed command
            for run in (*self._runs(PARENT, unfinished.info.run_id), unfinished):
                self._client.delete_run(run.info.run_id)
        results = study.results
        digest = results["data"]["digest"]
        tags = {KEY: key, "flowers17.label": study.label, "flowers17.data": digest}
        with self._run(study.manifest, study.title, tags, results["settings"]) as identity:
            for training in trainings:
                self._send_training(study, training, identity)
            for name in study.manifest["files"]:  # and no link or stranger that lies beside them
                below = Path(name).parent
                folder = str(below) if below.name else None
                self._client.log_artifact(identity, str(study.file(name)), folder)
        return StudyRun(study.title, identity, len(trainings), was_there=False)

    def _runs(self, tag: str, value: str) -> Sequence[Any]:
        filter_string = f"tags.`{tag}` = '{value}'"
        return self._client.search_runs([self._number], filter_string=filter_string)

    def _send_training(self, study: Study, manifest: Manifest, parent: str) -> None:
        from mlflow.entities import Metric

        tags = {PARENT: parent, "flowers17.stage": f"{manifest['stage']}/{manifest['key']}"}
        config = manifest["material"]["config"]
        with self._run(manifest, manifest["label"], tags, config) as identity:
            at = _start_ms(manifest)
            points = [
                Metric(_plain(name), float(value), at, int(epoch["epoch"]))
                for epoch in study.json(manifest, "history")["epochs"]
                for name, value in epoch.items()
                if name != "epoch"
            ]
            for start in range(0, len(points), MOST_METRICS):
                self._client.log_batch(identity, metrics=points[start : start + MOST_METRICS])

    @contextmanager
    def _run(
        self, manifest: Manifest, name: str, tags: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Iterator[str]:
        """Make a run with an artifact's versions, metrics and settings; it is finished at last."""
        from mlflow.entities import Metric, Param

        libraries = manifest["material"]["libraries"].items()
        versions = {f"version.{library}": text for library, text in libraries}
        at = _start_ms(manifest)
        run = self._client.create_run(
            self._number, start_time=at, tags={**versions, **tags}, run_name=name
        )
        identity = str(run.info.run_id)
        metrics = [
            Metric(_plain(name), float(value), at, 0)
            for name, value in manifest["metrics"].items()
            if isinstance(value, int | float)
        ]
        self._client.log_batch(identity, metrics=metrics)
        values = [Param(name, str(value)[:LONGEST]) for name, value in flat(settings).items()]
        for start in range(0, len(values), MOST_PARAMETERS):
            self._client.log_batch(identity, params=values[start : start + MOST_PARAMETERS])
        yield identity
        ended = at + round(1000 * float(manifest.get("duration_s", 0)))
        self._client.set_terminated(identity, "FINISHED", end_time=ended)


def _start_ms(manifest: Manifest) -> int:
    """Start of an artifact's build in milliseconds of the epoch."""
    ended = datetime.fromisoformat(manifest["created"]).timestamp()
    return round(1000 * (ended - float(manifest.get("duration_s", 0))))


def _plain(name: str) -> str:
    """Name of a metric in the characters that MLflow takes.

    >>> _plain("best accuracy (report), 5 × 5")
    'best accuracy -report-- 5 - 5'
    """
    return re.sub(r"[^\w\-. :/]", "-", name, flags=re.ASCII)
