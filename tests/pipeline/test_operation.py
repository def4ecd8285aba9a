"""`serve` and `recover` for real: server, worker, runs through the API, and their violent ends."""

import json
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.flow_names import FLOWS
from tests.support.processes import eventually, free_port, kill, python
from tests.support.serving import COMMAND, SMALL, Serving, flowers17, processes

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def shared_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Return a `serve` that the module's tests share; some of them stop it."""
    serving = Serving(tmp_path_factory.mktemp("operation"), *SMALL)
    try:
        yield serving
    finally:
        serving.close()


@pytest.fixture
def serving(shared_serving: Serving) -> Serving:
    """The shared `serve`, running."""
    return shared_serving if shared_serving.running else shared_serving.start()


def _started(serving: Serving, flow: str, **request: Any) -> str:
    reply = serving.start_run(flow, **request)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def _killed_while_extracting(serving: Serving, seed: int, *others: int) -> str:
    """Start a run, and kill all its processes once images are there and features are not."""
    before = _manifests(serving, "images")
    flow_run_id = _started(serving, "features", seed=seed)
    assert eventually(lambda: _manifests(serving, "images") > before), serving.worker_log()
    for process in (*others, *serving.processes_of(flow_run_id)):
        kill(process)
    assert eventually(lambda: not serving.processes_of(flow_run_id))
    return flow_run_id


def _shows(serving: Serving, flow_run_id: str, expected: dict[str, str]) -> None:
    """Assert how tasks ended at last; the server records that a little later than the run's end."""

    def actual() -> dict[str, str]:
        states = serving.tasks(flow_run_id)
        return {label: states[label][-1] for label in expected if label in states}

    assert eventually(lambda: actual() == expected), actual()


def _running(serving: Serving, flow_run_id: str) -> list[str]:
    return [name for name, states in serving.tasks(flow_run_id).items() if "Running" in states]


def _lines(serving: Serving, flow: str, *lines: str) -> list[str]:
    """The deployment's lines KEY=VALUE with some more; of two of one key the later wins."""
    return [*serving.deployment(flow)["parameters"]["request"]["set"], *lines]


def _manifests(serving: Serving, stage: str) -> set[Path]:
    return set(serving.store.glob(f"{stage}/*/manifest.json"))


def _finished_once(serving: Serving, flow_run_id: str) -> None:
    """Assert that a run went on to its end, repeating nothing, and shows no task that runs."""
    serving.reaches(flow_run_id, "COMPLETED")
    assert eventually(lambda: not _running(serving, flow_run_id))
    _shows(serving, flow_run_id, {"images@32": "Cached", "features mobilenet-average": "Completed"})
    assert not (serving.store / ".runs" / flow_run_id).exists()


class TestServe:
    @pytest.mark.parametrize("flow", FLOWS)
    def test_registers_every_flow_with_a_described_form(self, serving: Serving, flow: str) -> None:
        deployment = serving.deployment(flow)
        assert len(deployment["description"]) > 40
        assert "flowers17" in deployment["tags"]
        assert deployment["work_pool_name"] == "flowers17"
        assert deployment["enforce_parameter_schema"]
        assert deployment["parameters"]["request"]["store"] == str(serving.store)
        (reference,) = deployment["parameter_openapi_schema"]["definitions"].keys() - {
            "SweepSettings"
        }
        schema = deployment["parameter_openapi_schema"]["definitions"][reference]
        assert all(field.get("description") for field in schema["properties"].values())
        assert next(iter(schema["properties"])) == "profile"

    def test_leaves_the_nightly_study_off_and_lets_studies_queue(self, serving: Serving) -> None:
        study = serving.deployment("study")
        assert [(schedule["slug"], schedule["active"]) for schedule in study["schedules"]] == [
            ("nightly", False)
        ]
        assert study["global_concurrency_limit"]["limit"] == 1
        assert study["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        pool = serving.client.get("work_pools/flowers17").json()
        assert (pool["type"], pool["concurrency_limit"]) == ("process", 1)

    def test_lets_the_server_crash_runs_without_a_heartbeat(self, serving: Serving) -> None:
        automations = serving.client.post("automations/filter", json={}).json()
        guarded, automation = sorted(
            automations, key=lambda automation: bool(automation["enabled"])
        )
        assert guarded["name"] == "flowers17: a study broke a rule"
        assert (guarded["enabled"], guarded["actions"][0]["type"]) == (False, "do-nothing")
        assert guarded["trigger"]["expect"] == ["flowers17.rule.broken"]
        assert automation["enabled"]
        assert automation["trigger"]["posture"] == "Proactive"
        assert automation["trigger"]["after"] == ["prefect.flow-run.heartbeat"]
        assert automation["trigger"]["within"] == 90
        (action,) = automation["actions"]
        assert (action["type"], action["state"]) == ("change-flow-run-state", "CRASHED")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"profile": "wild"}, "'wild' is not one of ['demo', 'quick', 'report', 'best']"),
            ({"workers": 0}, "0 is less than the minimum of 1"),
            ({"seed": 1.5}, "'request.seed'. Failure reason: 1.5 is not valid"),
            ({"set": {"seed": 3}}, "{'seed': 3} is not of type 'array'"),
            ({"sed": 3}, "'sed' was unexpected"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
    )
    def test_refuses_wrong_values_before_anything_runs(
        self, serving: Serving, wrong: dict[str, Any], message: str
    ) -> None:
        reply = serving.start_run("dataset", **wrong)
        assert reply.status_code == 409
        assert message in reply.json()["detail"]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"dataset.n_classes": 18}, "setting dataset.n_classes: expected at most 17, got 18"),
            ({"set": ["sed=3", "seed=-1"]}, "setting seed: .* got -1; setting sed: .* seed?"),
            ({"set": ["seed"]}, "--set: expected KEY=VALUE, got 'seed'"),
            ({"dataset": "/nowhere"}, "dataset '/nowhere': expected .* got no such file or folder"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
    )
    def test_fails_runs_of_wrong_values_in_one_line(
        self, serving: Serving, wrong: dict[str, Any], message: str
    ) -> None:
        flow_run_id = _started(serving, "dataset", **wrong)
        state = serving.reaches(flow_run_id, "FAILED")["state"]
        assert re.fullmatch(message.replace("?", "[?]"), state["message"]), state["message"]
        query = {"logs": {"flow_run_id": {"any_": [flow_run_id]}}}

        def lines() -> list[str]:
            logs = serving.client.post("logs/filter", json=query).json()
            return [log["message"] for log in logs]

        assert eventually(lambda: state["message"] in "\n".join(lines())), lines()
        assert "\n".join(lines()).count(state["message"]) == 1
        assert "Traceback" not in "\n".join(lines())
        assert (
            state["message"] not in serving.worker_log() or "Traceback" not in serving.worker_log()
        )

    def test_lets_a_write_wait_for_another(self, serving: Serving) -> None:
        """Prefect reads, then writes; SQLite refuses that at once while somebody else writes."""
        address = f"{serving.ui}/api/deployments/{serving.deployment('dataset')['id']}"
        options = {"json": {"paused": False}, "timeout": 30, "trust_env": False}
        with (
            ThreadPoolExecutor(1) as pool,
            closing(sqlite3.connect(serving.home / "prefect.db", isolation_level=None)) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            reply = pool.submit(httpx.patch, address, **options)
            assert not wait([reply], 1).done
            other.execute("ROLLBACK")
            assert reply.result().status_code == 204

    def test_refuses_a_second_one_on_the_same_home(self, serving: Serving) -> None:
        process = flowers17("serve", "--port", str(free_port()), home=serving.home)
        assert process.returncode == 1
        assert f"{serving.ui}/api; use it, stop it" in " ".join(process.stderr.split())

    def test_refuses_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            process = flowers17("serve", "--port", str(port), home=tmp_path)
        assert process.returncode == 2
        assert "choose another --port" in " ".join(process.stderr.split())

    def test_refuses_a_store_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        process = flowers17("serve", "--store", str(tmp_path / "file"), home=tmp_path)
        assert process.returncode == 1
        assert "choose another --store" in " ".join(process.stderr.split())


class TestRuns:
    def test_complete_then_are_cached_with_tables_and_figures_shown(self, serving: Serving) -> None:
        first = _started(serving, "features")
        run = serving.reaches(first, "COMPLETED")
        assert run["name"] == "features, demo, rendered, seed 17"
        assert {"flowers17", "demo", "rendered"} <= set(run["tags"])
        shown = serving.artifacts(first)
        assert shown["table-08"]["type"] == "table"
        assert shown["table-08"]["description"] == "Table 8. Classifiers on extracted features"
        assert "Report’s split: ours" in json.loads(shown["table-08"]["data"])[0]
        assert "data:image/" in shown["figure-01"]["data"]
        # Both UIs ask for them without an order of their own.
        of_report = [key for key in shown if key.startswith(("figure", "table"))]
        assert of_report[:4] == ["figure-01", "figure-01b", "table-d1", "table-d2"]
        order = ["figure-07", "table-07", "table-08", "figure-07b"]
        assert [key for key in of_report if key in order] == order
        again = _started(serving, "features", rules=["nothing missing", "best accuracy >= 0.1"])
        state = serving.reaches(again, "COMPLETED")["state"]
        _shows(serving, again, dict.fromkeys(serving.tasks(first), "Cached"))
        counts = f"0 built, {len(serving.tasks(first))} cached, 0 missing"
        words, best, address = state["message"].split("; ")
        assert (words, best[:29]) == (counts, "best classifier on features 0")
        assert address.startswith(f"{serving.ui}/flowers17/reports/")
        assert "Table 8" in httpx.get(address, trust_env=False).text
        assert address in serving.artifacts(again)["page"]["data"]

    def test_that_break_a_rule_fail_by_that_name_and_tell_it(self, serving: Serving) -> None:
        flow_run_id = _started(serving, "features", rules=["best accuracy > 1"])
        state = serving.reaches(flow_run_id, "FAILED")["state"]
        assert state["name"] == "Rule broken"
        assert state["message"].startswith("best accuracy > 1: it is 0.")
        assert " missing; best classifier on features 0." in state["message"]
        query = {"filter": {"event": {"name": ["flowers17.rule.broken"]}}}

        def told() -> list[str]:
            events = serving.client.post("events/filter", json=query).json()["events"]
            return [event["resource"]["prefect.resource.id"] for event in events]

        assert eventually(lambda: told() == [f"prefect.flow-run.{flow_run_id}"]), told()

    def test_without_any_result_of_their_own_fail_and_say_what_to_do(
        self, serving: Serving, tmp_path: Path
    ) -> None:
        lines = _lines(serving, "features", "features.weights=imagenet")
        flow_run_id = _started(serving, "features", weights_dir=str(tmp_path), set=lines)
        message = serving.reaches(flow_run_id, "FAILED")["state"]["message"]
        assert "none of the 2 results of this flow could be made" in message
        assert "Put mobilenet_notop.weights.h5 into the folder given as --weights-dir" in message
        _shows(serving, flow_run_id, {"weights mobilenet": "Missing", "splits": "Cached"})

    def test_cancelled_end_with_their_tasks_before_they_would_be_killed(
        self, serving: Serving
    ) -> None:
        recipe = ("learners.recipe.epochs=5000", "learners.recipe.batch_size=8")
        lines = _lines(serving, "learners", "learners.plain=[mk-2]", *recipe)
        flow_run_id = _started(serving, "learners", set=lines)
        training = "mk-2, report split"

        def trains() -> bool:
            return serving.tasks(flow_run_id).get(training) == ["Running"]

        assert eventually(trains), serving.worker_log()
        state = {"type": "CANCELLING", "name": "Cancelling"}
        serving.client.post(f"flow_runs/{flow_run_id}/set_state", json={"state": state})
        serving.reaches(flow_run_id, "CANCELLED")  # killed by Prefect, its tasks would stay Running
        _shows(serving, flow_run_id, {training: "Cancelled"})
        assert serving.processes_of(flow_run_id) == []

    @pytest.mark.long  # tests/browser/test_ui.py has one that a person adds
    def test_a_schedule_starts_one_by_itself(self, serving: Serving) -> None:
        deployment = serving.deployment("dataset")["id"]
        path = f"deployments/{deployment}/schedules"
        every = {"schedule": {"interval": 20}, "active": True}
        (schedule,) = serving.client.post(path, json=[every]).raise_for_status().json()
        query = {"flow_runs": {"deployment_id": {"any_": [deployment]}}}

        def completed() -> bool:
            runs = serving.client.post("flow_runs/filter", json=query).json()
            ended = [run for run in runs if run["state_type"] == "COMPLETED"]
            return any("auto-scheduled" in run["tags"] for run in ended)

        assert eventually(completed), serving.worker_log()
        serving.client.delete(f"{path}/{schedule['id']}").raise_for_status()

    def test_killed_are_brought_back_by_the_button_retry(self, serving: Serving) -> None:
        flow_run_id = _killed_while_extracting(serving, 21)
        serving.reaches(flow_run_id, "CRASHED")
        # The worker reports a crash a second time, which undoes a retry asked for before.
        reported = "Flow run infrastructure exited"
        eventually(lambda: reported in serving.run(flow_run_id)["state"]["message"], 12)
        retry = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        reply = serving.client.post(
            f"flow_runs/{flow_run_id}/set_state", json={"state": retry, "force": True}
        )
        assert reply.json()["status"] == "ACCEPT", reply.text
        _finished_once(serving, flow_run_id)

    def test_killed_with_their_worker_are_brought_back_by_recover(self, serving: Serving) -> None:
        flow_run_id = _killed_while_extracting(serving, 22, *serving.workers())
        assert serving.run(flow_run_id)["state_type"] == "RUNNING"
        process = flowers17("recover", "--json", home=serving.home)
        assert process.returncode == 0, process.stderr
        (recovered,) = json.loads(process.stdout)
        assert recovered["flow_run_id"] == flow_run_id
        assert recovered["was"] in ("Running", "Crashed")  # `serve` looks, too, after a minute
        assert (recovered["now"], recovered["resumed"]) == (
            "Crashed",
            "worker",
        )
        _finished_once(serving, flow_run_id)
        nothing = flowers17("recover", home=serving.home)
        assert (nothing.returncode, nothing.stdout) == (0, "no dead runs\n")


class TestEnds:
    def test_put_runs_in_progress_back_and_leave_nothing(self, serving: Serving) -> None:
        nightly = serving.deployment("study")["schedules"][0]["id"]
        study = serving.deployment("study")["id"]
        serving.client.patch(
            f"deployments/{study}/schedules/{nightly}", json={"active": True}
        ).raise_for_status()
        before = _manifests(serving, "images")
        flow_run_id = _started(serving, "study", seed=23)
        assert eventually(lambda: _manifests(serving, "images") > before), serving.worker_log()
        assert serving.end(signal.SIGTERM) == 0
        assert processes(serving.home) == {}

        serving.start()
        serving.reaches(flow_run_id, "COMPLETED")
        assert (serving.store / "report" / "index.html").is_file()
        assert serving.deployment("study")["schedules"][0]["active"]
        assert serving.deployment("study")["global_concurrency_limit"]["active_slots"] == 0

    def test_leave_nothing_even_if_killed_after_their_reaper(self, serving: Serving) -> None:
        before = _manifests(serving, "images")
        flow_run_id = _started(serving, "features", seed=24)
        assert eventually(lambda: _manifests(serving, "images") > before), serving.worker_log()
        # server, worker, run, isolated stage
        assert eventually(lambda: len(serving.marked) >= 4), processes(serving.home)
        (reaper,) = serving.reapers()
        kill(reaper)
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
        assert eventually(lambda: processes(serving.home) == {}), processes(serving.home)
        assert (serving.store / ".runs" / flow_run_id).exists()


def test_recover_runs_a_killed_local_run_again_here(
    shared_serving: Serving, tmp_path: Path
) -> None:
    home = shared_serving.home
    if shared_serving.running:
        shared_serving.end(signal.SIGTERM)
    store, settings = (
        tmp_path / "store",
        [word for assignment in SMALL for word in ("--set", assignment)],
    )
    arguments = ["run", "features", "--store", str(store), *settings]
    with python(*COMMAND[1:], *arguments, env={"PREFECT_HOME": str(home)}) as process:
        assert eventually(lambda: list(store.glob("images/*/manifest.json")))
        kill(process.pid)
    recovery = flowers17("recover", "--json", "--store", str(store), home=home)
    assert recovery.returncode == 0, recovery.stderr
    (recovered,) = json.loads(recovery.stdout)
    assert (recovered["flow"], recovered["now"]) == ("features", "Crashed")
    assert recovered["resumed"] == "here"
    assert "● cached images@32" in recovery.stderr
    assert len(list(store.glob("study/*/manifest.json"))) == 1
    nothing = flowers17("recover", "--store", str(store), home=home)
    assert (nothing.returncode, nothing.stdout) == (0, "no dead runs\n")
