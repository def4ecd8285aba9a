"""`serve` and `recover` for real: server, worker, runs through the API, and their violent ends.

All of it happens where every proxy variable leads to a proxy that refuses everything.
"""

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
from tests.support.commands import called
from tests.support.keras_gate import KerasGate
from tests.support.processes import HANG_S, eventually, free_port, kill
from tests.support.proxies import Proxy, no_proxies, refusing_proxy
from tests.support.serving import SMALL, Serving, flowers17, processes, told

pytestmark = [pytest.mark.server, pytest.mark.slow]
FEATURES = "features mobilenet-average"


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy that answers 403, and to SOCKS that it is not allowed; all variables lead there."""
    with refusing_proxy() as proxy, no_proxies() as patch:
        variables = {
            **proxy.variables("http", "HTTP", "https", "HTTPS"),
            **dict.fromkeys(("all_proxy", "ALL_PROXY"), f"socks5://{proxy.place}"),
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        yield proxy


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> KerasGate:
    """Before the Keras of what `serve` starts; open but where a test closes it."""
    return KerasGate(tmp_path_factory.mktemp("gate") / "modules")


@pytest.fixture(scope="module")
def shared_serving(
    proxy: Proxy, gate: KerasGate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Return a `serve` that the module's tests share; some of them stop it."""
    folder = tmp_path_factory.mktemp("operation")
    variables = {**gate.variables, "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5"}
    serving = Serving(folder, *SMALL, variables=variables)
    try:
        yield serving.start()
    finally:
        serving.close()


@pytest.fixture
def serving(shared_serving: Serving) -> Serving:
    """The shared `serve`, running."""
    return shared_serving if shared_serving.running else shared_serving.start()


@pytest.fixture(scope="module")
def schedule(shared_serving: Serving) -> str:
    """Path of a schedule that starts runs of `features` with rules that they keep."""
    deployment = shared_serving.deployment("features")
    rules = ["nothing missing", "best accuracy >= 0.1"]
    parameters = {"request": {**deployment["parameters"]["request"], "rules": rules}}
    path = f"deployments/{deployment['id']}/schedules"
    options = [{"schedule": {"interval": 30}, "active": True, "parameters": parameters}]
    reply = shared_serving.client.post(path, json=options).raise_for_status()
    return f"{path}/{reply.json()[0]['id']}"


@pytest.fixture(scope="module")
def completed(shared_serving: Serving, schedule: str) -> dict[str, Any]:
    """A run of `features` that a schedule started; it has built all it needs, keeping its rules."""
    deployment = shared_serving.deployment("features")["id"]
    assert told(lambda: shared_serving.scheduled_runs(deployment)), shared_serving.worker_log()
    shared_serving.client.delete(schedule).raise_for_status()
    begun = shared_serving.scheduled_runs(deployment)  # on a slow machine more than one
    (run, *_) = [shared_serving.reaches(each["id"], "COMPLETED") for each in begun]
    n_built = int(run["state"]["message"].split()[0])
    assert told(lambda: len(shared_serving.tasks(run["id"])) == n_built)  # a little later
    return run


def _started(serving: Serving, flow: str, **request: Any) -> str:
    reply = serving.start_run(flow, **request)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def _run_here(serving: Serving, *words: str, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """The server's record of a run of `features` by this process, which fails."""
    words = ("run", "features", "--store", str(serving.store), *words)
    code, _, _ = called(*words, api=f"{serving.ui}/api", settings=(*SMALL, *settings))
    assert code == 1
    query = {
        "flows": {"name": {"any_": ["features"]}},
        "flow_runs": {"deployment_id": {"is_null_": True}},
        "sort": "START_TIME_DESC",
        "limit": 1,
    }
    (run,) = serving.client.post("flow_runs/filter", json=query).raise_for_status().json()
    assert run["state_type"] == "FAILED", run["state"]
    return dict(run)


def _in_extraction(serving: Serving) -> None:
    """Wait until a run extracts features; while the gate is closed, that does not end."""
    assert told(lambda: FEATURES in _running(serving)), serving.worker_log()


def _shows(serving: Serving, flow_run_id: str, expected: dict[str, str]) -> None:
    """Assert how tasks ended at last; the server records that a little later than the run's end."""

    def actual() -> dict[str, str]:
        states = serving.tasks(flow_run_id)
        return {label: states[label][-1] for label in expected if label in states}

    assert told(lambda: actual() == expected), actual()


def _running(serving: Serving) -> list[str]:
    """Names of all tasks that run, of parts of a study, too."""
    query = {"task_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    tasks = serving.client.post("task_runs/filter", json=query).raise_for_status().json()
    return [task["name"] for task in tasks]


def _built(serving: Serving, stage: str) -> set[tuple[int, int]]:
    """Inode and time of the manifest of each artifact, which tell whether it is built anew."""
    stats = [path.stat() for path in serving.store.glob(f"{stage}/*/manifest.json")]
    return {(stat.st_ino, stat.st_mtime_ns) for stat in stats}


def _within_this_machine(proxy: Proxy) -> list[bytes]:
    """What the proxy was asked for, but for weights, which lie outside."""
    return [request for request in proxy.requests if b"storage.googleapis.com" not in request]


@pytest.mark.usefixtures("schedule")  # which waits for its time meanwhile
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

    @pytest.mark.long  # one that a person fills in always runs, in tests/browser/test_ui.py
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"set": ["sed=3", "seed=-1"]}, "setting seed: .* got -1; setting sed: .* seed?"),
            (
                {"dataset.n_classes": 18},
                "setting dataset.n_classes: expected at most 17, got 18",
            ),
            ({"set": ["seed"]}, "--set: expected KEY=VALUE, got 'seed'"),
            (
                {"dataset": "/nowhere"},
                "dataset '/nowhere': expected .* got no such file or folder",
            ),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
    )
    def test_fails_runs_of_wrong_values_in_one_line(
        self, serving: Serving, wrong: dict[str, Any], message: str
    ) -> None:
        flow_run_id = _started(serving, "dataset", **wrong)
        state = serving.reaches(flow_run_id, "FAILED")["state"]
        assert re.fullmatch(message.replace("?", "[?]"), state["message"]), state["message"]
        assert told(lambda: state["message"] in "\n".join(serving.messages(flow_run_id)))
        text = "\n".join(serving.messages(flow_run_id))
        assert text.count(state["message"]) == 1
        assert "Traceback" not in text
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


@pytest.mark.usefixtures("completed")  # after which the schedule starts no more
class TestRuns:
    def test_that_a_schedule_starts_complete_with_tables_and_figures_shown(
        self, serving: Serving, proxy: Proxy, completed: dict[str, Any]
    ) -> None:
        assert completed["name"] == "features, demo, rendered, seed 17"
        assert {"flowers17", "demo", "rendered", "auto-scheduled"} <= set(completed["tags"])
        shown = serving.artifacts(completed["id"])
        assert shown["table-08"]["type"] == "table"
        assert shown["table-08"]["description"] == "Table 8. Classifiers on extracted features"
        assert "Report’s split: ours" in json.loads(shown["table-08"]["data"])[0]
        assert "data:image/" in shown["figure-01"]["data"]
        # Both UIs ask for them without an order of their own.
        of_report = [key for key in shown if key.startswith(("figure", "table"))]
        assert of_report[:4] == ["figure-01", "figure-01b", "table-d1", "table-d2"]
        order = ["figure-07", "table-07", "table-08", "figure-07b"]
        assert [key for key in of_report if key in order] == order
        # What tasks did is told over a websocket.
        _shows(serving, completed["id"], {"features mobilenet-average": "Completed"})
        counts, best, address = completed["state"]["message"].split("; ")
        assert counts == f"{len(serving.tasks(completed['id']))} built, 0 cached, 0 missing"
        assert best.startswith("best classifier on features 0")
        assert address.startswith(f"{serving.ui}/flowers17/reports/")
        assert "Table 8" in httpx.get(address, trust_env=False, timeout=HANG_S).text
        assert address in shown["page"]["data"]
        assert _within_this_machine(proxy) == []

    def test_again_are_cached_and_fail_by_the_name_of_a_rule_that_they_break(
        self, serving: Serving, completed: dict[str, Any]
    ) -> None:
        run = _run_here(serving, "--rule", "best accuracy > 1")
        state, tasks = run["state"], serving.tasks(completed["id"])
        _shows(serving, run["id"], dict.fromkeys(tasks, "Cached"))
        assert state["name"] == "Rule broken"
        assert state["message"].startswith("best accuracy > 1: it is 0.")
        counts = f"0 built, {len(tasks)} cached, 0 missing; best classifier on features 0."
        assert counts in state["message"]
        query = {"filter": {"event": {"name": ["flowers17.rule.broken"]}}}

        def events() -> list[str]:
            events = serving.client.post("events/filter", json=query).json()["events"]
            return [event["resource"]["prefect.resource.id"] for event in events]

        assert told(lambda: events() == [f"prefect.flow-run.{run['id']}"]), events()

    def test_without_any_result_of_their_own_fail_and_say_what_to_do(
        self, serving: Serving, tmp_path: Path
    ) -> None:
        weights = ("--weights-dir", str(tmp_path))
        run = _run_here(serving, *weights, settings=("features.weights=imagenet",))
        message = run["state"]["message"]
        assert "none of the 2 results of this flow could be made" in message
        assert "Put mobilenet_notop.weights.h5 into the folder given as --weights-dir" in message
        _shows(serving, run["id"], {"weights mobilenet": "Missing", "splits": "Cached"})

    def test_cancelled_end_with_their_tasks_before_they_would_be_killed(
        self, serving: Serving, gate: KerasGate
    ) -> None:
        gate.close()
        flow_run_id = _started(serving, "features", seed=21)
        _in_extraction(serving)
        state = {"type": "CANCELLING", "name": "Cancelling"}
        serving.client.post(f"flow_runs/{flow_run_id}/set_state", json={"state": state})
        serving.reaches(flow_run_id, "CANCELLED")  # killed by Prefect, its tasks would stay Running
        _shows(serving, flow_run_id, {FEATURES: "Cancelled"})
        assert serving.processes_of(flow_run_id) == []
        gate.open()


@pytest.mark.usefixtures("completed")
class TestEnds:
    def test_of_worker_run_and_serve_are_outlived_by_a_study(
        self, serving: Serving, proxy: Proxy, gate: KerasGate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`recover` brings it back, then the button Retry, then the next `serve`."""
        study, dataset = (serving.deployment(flow)["id"] for flow in ("study", "dataset"))
        nightly = serving.deployment("study")["schedules"][0]["id"]
        serving.client.patch(
            f"deployments/{study}/schedules/{nightly}", json={"active": True}
        ).raise_for_status()
        yearly = {"schedule": {"interval": 365 * 24 * 3600}, "active": True}
        added = serving.client.post(f"deployments/{dataset}/schedules", json=[yearly]).json()

        gate.close()
        flow_run_id = _started(serving, "study", seed=23)
        _in_extraction(serving)
        images, features = _built(serving, "images"), _built(serving, "features")
        for process in (*serving.workers(), *serving.processes_of(flow_run_id)):
            kill(process)
        assert eventually(lambda: not serving.processes_of(flow_run_id))
        assert serving.run(flow_run_id)["state_type"] == "RUNNING"
        # The worker that could still report the crash is gone, too.
        monkeypatch.setattr("flowers17.commands.recovery.LATE_REPORT_S", 1.0)
        code, printed, complaints = called("recover", "--json", api=f"{serving.ui}/api")
        assert code == 0, complaints
        assert _within_this_machine(proxy) == []
        (recovered,) = json.loads(printed)
        assert recovered["flow_run_id"] == flow_run_id
        assert recovered["was"] in ("Running", "Crashed")  # `serve` looks, too, after a while
        assert (recovered["now"], recovered["resumed"]) == ("Crashed", "worker")

        serving.reaches(flow_run_id, "RUNNING")
        for pid in serving.processes_of(flow_run_id):  # and its worker lives
            kill(pid)
        serving.reaches(flow_run_id, "CRASHED")
        # The worker reports a crash a second time, which undoes a retry asked for before.
        reported = "Flow run infrastructure exited"
        eventually(
            lambda: reported in serving.run(flow_run_id)["state"]["message"], 12, pause_s=0.5
        )
        retry = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        reply = serving.client.post(
            f"flow_runs/{flow_run_id}/set_state", json={"state": retry, "force": True}
        )
        assert reply.json()["status"] == "ACCEPT", reply.text
        serving.reaches(flow_run_id, "RUNNING")
        assert serving.end(signal.SIGTERM) == 0
        assert processes(serving.home) == {}

        gate.open()
        serving.start()
        serving.reaches(flow_run_id, "COMPLETED")
        assert told(lambda: not _running(serving)), _running(serving)
        assert _built(serving, "images") == images, "something finished was made again"
        assert len(_built(serving, "features") - features) == 1
        assert not (serving.store / ".runs" / flow_run_id).exists()
        assert (serving.store / "report" / "index.html").is_file()
        assert serving.deployment("study")["schedules"][0]["active"]
        (kept,) = serving.deployment("dataset")["schedules"]
        assert (kept["id"], kept["active"]) == (added[0]["id"], True)
        assert serving.deployment("study")["global_concurrency_limit"]["active_slots"] == 0
        process = flowers17("recover", home=serving.home)  # whose server it finds by itself
        assert (process.returncode, process.stdout) == (0, "no dead runs\n"), process.stderr

    def test_leave_nothing_even_if_killed_after_their_reaper(
        self, serving: Serving, gate: KerasGate
    ) -> None:
        gate.close()
        flow_run_id = _started(serving, "features", seed=24)
        _in_extraction(serving)
        assert eventually(lambda: len(serving.marked) >= 4)  # server, worker, run, isolated stage
        (reaper,) = serving.reapers()
        kill(reaper)
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
        assert eventually(lambda: processes(serving.home) == {}), processes(serving.home)
        assert (serving.store / ".runs" / flow_run_id).exists()
