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
from tests.support.processes import HANG_S, eventually, free_port, kill
from tests.support.proxies import Proxy, no_proxies, refusing_proxy
from tests.support.serving import SMALL, Serving, flowers17, processes, told

pytestmark = [pytest.mark.server, pytest.mark.slow]


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
def shared_serving(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Return a `serve` that the module's tests share; some of them stop it."""
    serving = Serving(tmp_path_factory.mktemp("operation"), *SMALL)
    try:
        yield serving.start()
    finally:
        serving.close()


@pytest.fixture
def serving(shared_serving: Serving) -> Serving:
    """The shared `serve`, running."""
    return shared_serving if shared_serving.running else shared_serving.start()


@pytest.fixture(scope="module")
def completed(shared_serving: Serving) -> dict[str, Any]:
    """A run of `features` that has built all it needs and kept its rules."""
    rules = ["nothing missing", "best accuracy >= 0.1"]
    run = shared_serving.reaches(_started(shared_serving, "features", rules=rules), "COMPLETED")
    n_built = int(run["state"]["message"].split()[0])
    assert told(lambda: len(shared_serving.tasks(run["id"])) == n_built)  # a little later
    return run


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

    assert told(lambda: actual() == expected), actual()


def _running(serving: Serving, flow_run_id: str) -> list[str]:
    return [name for name, states in serving.tasks(flow_run_id).items() if "Running" in states]


def _within_this_machine(proxy: Proxy) -> list[bytes]:
    """What the proxy was asked for, but for weights, which lie outside."""
    return [request for request in proxy.requests if b"storage.googleapis.com" not in request]


def _lines(serving: Serving, flow: str, *lines: str) -> list[str]:
    """The deployment's lines KEY=VALUE with some more; of two of one key the later wins."""
    return [*serving.deployment(flow)["parameters"]["request"]["set"], *lines]


def _manifests(serving: Serving, stage: str) -> set[Path]:
    return set(serving.store.glob(f"{stage}/*/manifest.json"))


def _finished_once(serving: Serving, flow_run_id: str) -> None:
    """Assert that a run went on to its end, repeating nothing, and shows no task that runs."""
    serving.reaches(flow_run_id, "COMPLETED")
    assert told(lambda: not _running(serving, flow_run_id))
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
            ({"set": ["sed=3", "seed=-1"]}, "setting seed: .* got -1; setting sed: .* seed?"),
            pytest.param(
                {"dataset.n_classes": 18},
                "setting dataset.n_classes: expected at most 17, got 18",
                marks=pytest.mark.long,
            ),
            pytest.param(
                {"set": ["seed"]},
                "--set: expected KEY=VALUE, got 'seed'",
                marks=pytest.mark.long,
            ),
            pytest.param(
                {"dataset": "/nowhere"},
                "dataset '/nowhere': expected .* got no such file or folder",
                marks=pytest.mark.long,
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
        query = {"logs": {"flow_run_id": {"any_": [flow_run_id]}}}

        def lines() -> list[str]:
            logs = serving.client.post("logs/filter", json=query).json()
            return [log["message"] for log in logs]

        assert told(lambda: state["message"] in "\n".join(lines())), lines()
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
    def test_complete_with_tables_and_figures_shown(
        self, serving: Serving, proxy: Proxy, completed: dict[str, Any]
    ) -> None:
        assert completed["name"] == "features, demo, rendered, seed 17"
        assert {"flowers17", "demo", "rendered"} <= set(completed["tags"])
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
        flow_run_id = _started(serving, "features", rules=["best accuracy > 1"])
        state = serving.reaches(flow_run_id, "FAILED")["state"]
        tasks = serving.tasks(completed["id"])
        _shows(serving, flow_run_id, dict.fromkeys(tasks, "Cached"))
        assert state["name"] == "Rule broken"
        assert state["message"].startswith("best accuracy > 1: it is 0.")
        counts = f"0 built, {len(tasks)} cached, 0 missing; best classifier on features 0."
        assert counts in state["message"]
        query = {"filter": {"event": {"name": ["flowers17.rule.broken"]}}}

        def events() -> list[str]:
            events = serving.client.post("events/filter", json=query).json()["events"]
            return [event["resource"]["prefect.resource.id"] for event in events]

        assert told(lambda: events() == [f"prefect.flow-run.{flow_run_id}"]), events()

    @pytest.mark.usefixtures("completed")
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
        learners = (
            "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
            "learners.plain=[tiny]",
            "learners.recipe.epochs=5000",
            "learners.recipe.batch_size=8",
        )
        flow_run_id = _started(serving, "learners", set=_lines(serving, "learners", *learners))
        training = "tiny, report split"

        def trains() -> bool:
            return serving.tasks(flow_run_id).get(training) == ["Running"]

        assert told(trains), serving.worker_log()
        state = {"type": "CANCELLING", "name": "Cancelling"}
        serving.client.post(f"flow_runs/{flow_run_id}/set_state", json={"state": state})
        serving.reaches(flow_run_id, "CANCELLED")  # killed by Prefect, its tasks would stay Running
        _shows(serving, flow_run_id, {training: "Cancelled"})
        assert serving.processes_of(flow_run_id) == []

    def test_a_schedule_starts_one_by_itself(self, serving: Serving) -> None:
        deployment = serving.deployment("dataset")["id"]
        path = f"deployments/{deployment}/schedules"
        options = [{"schedule": {"interval": 20}, "active": True}]
        (schedule,) = serving.client.post(path, json=options).raise_for_status().json()
        assert told(lambda: serving.scheduled_runs(deployment)), serving.worker_log()
        serving.client.delete(f"{path}/{schedule['id']}").raise_for_status()
        (run, *_) = serving.scheduled_runs(deployment)
        ended = serving.reaches(run["id"], "COMPLETED")
        assert "auto-scheduled" in ended["tags"]
        assert ended["name"] == "dataset, demo, rendered, seed 17"

    def test_killed_are_brought_back_by_recover_and_by_the_button_retry(
        self, serving: Serving, proxy: Proxy
    ) -> None:
        flow_run_id = _killed_while_extracting(serving, 21, *serving.workers())
        assert serving.run(flow_run_id)["state_type"] == "RUNNING"
        process = flowers17("recover", "--json", home=serving.home)
        assert process.returncode == 0, process.stderr
        assert _within_this_machine(proxy) == []
        (recovered,) = json.loads(process.stdout)
        assert recovered["flow_run_id"] == flow_run_id
        assert recovered["was"] in ("Running", "Crashed")  # `serve` looks, too, after a minute
        assert (recovered["now"], recovered["resumed"]) == (
            "Crashed",
            "worker",
        )

        serving.reaches(flow_run_id, "RUNNING")
        for pid in serving.processes_of(flow_run_id):  # and its worker lives
            kill(pid)
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
        assert called("recover", api=f"{serving.ui}/api")[:2] == (0, "no dead runs\n")


class TestEnds:
    def test_put_runs_in_progress_back_and_leave_nothing(self, serving: Serving) -> None:
        study, dataset = (serving.deployment(flow)["id"] for flow in ("study", "dataset"))
        nightly = serving.deployment("study")["schedules"][0]["id"]
        serving.client.patch(
            f"deployments/{study}/schedules/{nightly}", json={"active": True}
        ).raise_for_status()
        yearly = {"schedule": {"interval": 365 * 24 * 3600}, "active": True}
        added = serving.client.post(f"deployments/{dataset}/schedules", json=[yearly]).json()
        before = _manifests(serving, "images")
        flow_run_id = _started(serving, "study", seed=23)
        assert eventually(lambda: _manifests(serving, "images") > before), serving.worker_log()
        assert serving.end(signal.SIGTERM) == 0
        assert processes(serving.home) == {}

        serving.start()
        serving.reaches(flow_run_id, "COMPLETED")
        assert (serving.store / "report" / "index.html").is_file()
        assert serving.deployment("study")["schedules"][0]["active"]
        (kept,) = serving.deployment("dataset")["schedules"]
        assert (kept["id"], kept["active"]) == (added[0]["id"], True)
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
