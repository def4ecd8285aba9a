"""Studies arrive at MLflow once, with their settings, metrics, files and learning curves."""

import json
from pathlib import Path

import pytest

from flowers17.cli import main
from flowers17.commands.mlflow_runs import KEY, PARENT, send
from flowers17.errors import InvalidInput, TrackingFailed
from tests.support.made_studies import HISTORY, made_study

mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny (the extra mlflow)")

WRONG = {"knn on mobilenet": (0,), "mk-2, report split": (1, 2)}
METRICS = {"best accuracy (report)": 0.875, "n_tables": 3, "best": "mk-2"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an MLflow store that needs no server: a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    made_study(root, wrong=WRONG, metrics=METRICS, label="report")
    return root


def _runs(server: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("flowers17")
    return list(client.search_runs([experiment.experiment_id]))


def test_a_study_is_a_run_with_settings_metrics_and_files(store: Path, server: str) -> None:
    [sent] = send((), store, uri=server, experiment="flowers17")
    client = mlflow.MlflowClient(tracking_uri=server)
    run = client.get_run(sent.run)
    assert run.info.status == "FINISHED"
    assert run.data.params["features.svm.C"] == "10.0"
    assert run.data.params["seed"] == "17"
    assert run.data.metrics == {"best accuracy -report-": 0.875, "n_tables": 3.0}
    assert run.data.tags["version.keras"] == "3.12.0"
    assert {file.path for file in client.list_artifacts(sent.run)} >= {"results.json"}
    assert sent.n_trainings == 1


def test_a_training_is_a_run_below_with_every_epoch(store: Path, server: str) -> None:
    [sent] = send((), store, uri=server, experiment="flowers17")
    client = mlflow.MlflowClient(tracking_uri=server)
    [below] = [run for run in _runs(server) if run.data.tags.get(PARENT) == sent.run]
    assert below.info.run_name == "mk-2, report split"
    history = client.get_metric_history(below.info.run_id, "val_accuracy")
    assert [(metric.step, metric.value) for metric in history] == [
        (epoch["epoch"], epoch["val_accuracy"]) for epoch in HISTORY
    ]


def test_what_is_there_is_not_sent_again(store: Path, server: str) -> None:
    [first] = send((), store, uri=server, experiment="flowers17")
    [again] = send((), store, uri=server, experiment="flowers17")
    assert (again.run, again.was_there) == (first.run, True)
    assert len(_runs(server)) == 2
    made_study(store, wrong=WRONG, metrics=METRICS, label="other", created="2026-02-01T00:00:00Z")
    runs = send((), store, uri=server, experiment="flowers17")
    assert [run.was_there for run in runs] == [True, False]


def test_what_a_killed_command_left_is_replaced(store: Path, server: str) -> None:
    [first] = send((), store, uri=server, experiment="flowers17")
    client = mlflow.MlflowClient(tracking_uri=server)
    client.set_terminated(first.run, "RUNNING")
    [again] = send((), store, uri=server, experiment="flowers17")
    assert (again.run != first.run, again.was_there) == (True, False)
    runs = _runs(server)
    assert len(runs) == 2
    assert len({run.data.tags[KEY] for run in runs if KEY in run.data.tags}) == 1


def test_the_command_says_what_was_sent(
    store: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["mlflow", "--store", str(store), "--to", server, "--json"])
    [sent] = json.loads(capsys.readouterr().out)
    assert (sent["n_trainings"], sent["was_there"]) == (1, False)


def test_no_address_is_told(store: Path, server: str) -> None:
    with pytest.raises(InvalidInput, match="MLFLOW_TRACKING_URI"):
        send((), store, uri=None, experiment="flowers17")


def test_a_server_that_is_not_there_is_told(
    store: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingFailed, match=r"http://127.0.0.1:9: expected an MLflow server"):
        send((), store, uri="http://127.0.0.1:9", experiment="flowers17")


@pytest.mark.parametrize("uri", ["databricks-uc:", "http://[", "ftp://a"])
def test_an_address_of_no_server_is_told(
    uri: str, store: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingFailed, match="expected an MLflow server that takes runs"):
        send((), store, uri=uri, experiment="flowers17")


def test_a_file_alone_is_refused(store: Path, server: str, tmp_path: Path) -> None:
    [results] = store.glob("study/*/results.json")
    (tmp_path / "alone.json").write_bytes(results.read_bytes())
    with pytest.raises(InvalidInput, match="expected a study of a store, got a file alone"):
        send([str(tmp_path / "alone.json")], store, uri=server, experiment="flowers17")
