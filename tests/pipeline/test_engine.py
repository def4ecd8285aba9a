"""Stages as Prefect tasks, against a real server: the states it shows, and what is built when."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from flowers17.artifacts import Store, short_name
from flowers17.errors import StageFailed
from tasks import engine
from tasks.engine import VIEW, shared_results
from tasks.leftovers import end_dead_runs
from tasks.liveness import died, run_digest
from tasks.results import Absent
from tests.support.keras_gate import KerasGate
from tests.support.processes import HANG_S, eventually
from tests.support.stores import content, unfinished
from tests.support.toy import number
from tests.support.toy_flow import Run, run
from tests.support.toy_processes import forked, is_gone

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("api")]


def _calls(path: Path) -> list[str]:
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, str]:
    """The resource that makes toy stages note each time they are built."""
    return {"calls": str(tmp_path / "calls")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def _bytes_of_artifacts(store: Path) -> dict[str, bytes]:
    """The artifacts' files without the manifests, which hold times."""
    return {
        name: data
        for name, data in content(store).items()
        if name.startswith("number/") and not name.endswith("manifest.json")
    }


class TestStates:
    def test_are_completed_then_cached(self, store: Path) -> None:
        a, b = number("a", 1), number("b", 2)
        stages = [number("sum", 3, a, b)]
        assert run(stages, store).names == dict.fromkeys(("a", "b", "sum"), "Completed")
        again = run(stages, store)
        assert again.names == dict.fromkeys(("a", "b", "sum"), "Cached")
        assert again.tasks["sum"].type.value == "COMPLETED"

    def test_of_a_cached_stage_are_one_that_knows_its_origins(self, store: Path) -> None:
        stages = [number("sum", 3, number("a", 1), number("b", 2))]
        run(stages, store)
        again = run(stages, store)
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[again.id]))
        with get_client(sync_client=True) as client:
            task_runs = {each.name: each for each in client.read_task_runs(flow_run_filter=chosen)}
        total = task_runs["sum"]
        assert total.start_time == total.end_time == total.expected_start_time is not None
        assert {origin.id for origin in total.task_inputs["inputs"]} == {
            task_runs["a"].id,
            task_runs["b"].id,
        }
        assert total.run_count == 1
        assert "is whole in the store: number/" in again.tasks["sum"].message

    def test_are_completed_again_for_what_was_damaged(self, store: Path) -> None:
        stages = [number("sum", 3, number("a", 1), number("b", 2))]
        first = run(stages, store).results
        (store / "number" / first["a"].key / "total.json").write_text("100")  # type: ignore[union-attr]
        again = run(stages, store)
        assert again.names == {"a": "Completed", "b": "Cached", "sum": "Cached"}
        assert again.results == first

    def test_of_optional_stages_are_missing_and_skipped(self, store: Path) -> None:
        weights = number("weights", 1, config={"problem": "missing"}, optional=True)
        features = number("features", 2, weights, optional=True)
        classifier = number("classifier", 3, features, optional=True)
        other = number("other", 4)
        outcome = run([classifier, other], store)
        assert outcome.names == {
            "classifier": "Skipped",
            "features": "Skipped",
            "other": "Completed",
            "weights": "Missing",
        }
        absent = Absent("expected weights, found none", optional=True)
        assert outcome.results["classifier"] == outcome.results["features"] == absent
        assert outcome.tasks["classifier"].message == "expected weights, found none"
        colours = {label: state.type.value for label, state in outcome.tasks.items()}
        assert colours == {
            "classifier": "CANCELLED",
            "features": "CANCELLED",
            "other": "COMPLETED",
            "weights": "CRASHED",
        }
        assert outcome.state.is_completed()
        assert outcome.results.counts == "1 built, 0 cached, 3 missing (2 of them lack an input)"

    def test_are_failed_for_errors_of_any_kind_even_of_optional_stages(self, store: Path) -> None:
        causes = [
            number(
                f"{problem}{' isolated' * isolated}{' optional' * optional}",
                1,
                config={"problem": problem},
                isolated=isolated,
                optional=optional,
            )
            for problem in ("invalid", "bug")
            for isolated in (False, True)
            for optional in (False, True)
        ]
        needing = [number(f"after {stage.label}", 2, stage, optional=True) for stage in causes]
        outcome = run(needing, store)
        assert outcome.state.is_failed()
        assert outcome.names == {
            **{stage.label: "Failed" for stage in causes},
            **{stage.label: "Skipped" for stage in needing},
        }

    def test_of_a_failed_stage_and_of_what_needs_it(self, store: Path) -> None:
        broken = number("broken", 1, config={"problem": "invalid"})
        outcome = run([number("sum", 3, broken, number("b", 2)), number("alone", 4)], store)
        assert outcome.state.is_failed()
        assert outcome.tasks["broken"].is_failed()
        assert outcome.names["alone"] == outcome.names["b"] == "Completed"
        assert outcome.names["sum"] == "Skipped"
        assert outcome.tasks["sum"].message == "expected a flower, got a stone"

    @pytest.mark.parametrize("isolated", [False, True])
    def test_are_failed_in_few_words_whatever_the_error_says(
        self, store: Path, isolated: bool
    ) -> None:
        config = {"problem": "endless words"}
        outcome = run([number("a", 1, config=config, isolated=isolated)], store)
        for text in (outcome.tasks["a"].message or "", str(outcome.failure)):
            assert len(text) < 2_500
            assert "ZeroDivisionError" in text
            assert "characters left out" in text
            assert " by zero" in text
            assert "\x1b" not in text

    def test_is_failed_when_the_process_was_killed(self, store: Path) -> None:
        outcome = run([number("a", 1, config={"problem": "killed"}, isolated=True)], store)
        assert outcome.names == {"a": "Failed"}
        assert "ended by SIGKILL" in str(outcome.failure)


class TestFailures:
    def test_do_not_hold_up_what_does_not_need_them(
        self, store: Path, calls: dict[str, str]
    ) -> None:
        broken = number("broken", 1, config={"problem": "invalid"})
        others = [number(f"n{value}", value, resources=calls) for value in (7, 8, 9)]
        outcome = run([broken, *others], store)
        assert _calls(Path(calls["calls"])) == ["7", "8", "9"]
        assert "1 of 4 stages have no result" in str(outcome.failure)
        assert "broken: expected a flower, got a stone" in str(outcome.failure)

    def test_raise_the_hint_to_run_again(self, store: Path) -> None:
        broken = number("broken", 1, config={"problem": "invalid"})
        with pytest.raises(StageFailed, match="run the same command again once the cause is"):
            _ = run([broken], store).results

    def test_name_a_bugs_reason_even_for_what_comes_after(self, store: Path) -> None:
        broken = number("broken", 1, config={"problem": "bug"})
        outcome = run([number("sum", 3, broken)], store)
        assert "broken (and 1 stage after it): division by zero" in str(outcome.failure)

    def test_of_one_reason_are_each_named_with_what_comes_after_them(self, store: Path) -> None:
        config = {"problem": "invalid"}
        first, second = (number(name, 1, config=config) for name in ("first", "second"))
        after = [number("sum", 3, first), number("all", 3, first, second), number("own", 4, second)]
        weights = number("weights", 1, config={"problem": "missing"}, optional=True)
        failure = str(run([*after, weights, number("b", 2)], store).failure)
        assert failure.startswith("6 of 7 stages have no result")
        assert "1 built, 0 cached, 6 missing (3 of them lack an input)" in failure
        assert failure.splitlines()[1:] == [
            "first (and 2 stages after it); second (and 1 stage after it): expected a flower, got "
            "a stone",
            "weights: expected weights, found none",
        ]

    def test_are_mended_by_running_again(
        self, store: Path, calls: dict[str, str], tmp_path: Path
    ) -> None:
        once = {**calls, "tries": str(tmp_path / "tries")}
        flaky = number("flaky", 1, config={"problem": "fails once"}, resources=once)
        stages = [number("sum", 3, flaky, number("b", 2, resources=calls))]
        assert run(stages, store).state.is_failed()
        assert run(stages, store).names == {"b": "Cached", "flaky": "Completed", "sum": "Completed"}
        assert _calls(Path(calls["calls"])) == ["1", "1", "2"]

    def test_of_an_optional_input_leave_a_tolerant_stage_to_do_without(self, store: Path) -> None:
        weights = number("weights", 1, config={"problem": "missing"}, optional=True)
        report = number("report", 5, weights, number("b", 2), tolerant=True)
        outcome = run([report], store)
        assert outcome.names == {"b": "Completed", "report": "Completed", "weights": "Missing"}
        manifest = Store(store).open(outcome.results["report"]).manifest  # type: ignore[arg-type]
        assert manifest["metrics"] == {"total": 7, "missing": 1}

    def test_of_a_needed_input_leave_a_tolerant_stage_to_do_without_too(self, store: Path) -> None:
        broken = number("broken", 1, config={"problem": "invalid"})
        outcome = run([number("report", 5, broken, number("b", 2), tolerant=True)], store)
        assert outcome.names["report"] == "Completed"
        assert outcome.state.is_failed()


class TestRetries:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wait a moment before a retry, and not seconds."""
        monkeypatch.setattr(engine._prefect_task("number"), "retry_delay_seconds", 0.1)

    def test_bring_a_broken_download_to_its_end(
        self, store: Path, calls: dict[str, str], tmp_path: Path
    ) -> None:
        resources = {**calls, "tries": str(tmp_path / "tries")}
        stage = number("archive", 1, config={"problem": "transient"}, resources=resources)
        outcome = run([stage], store)
        assert outcome.names == {"archive": "Completed"}
        assert _calls(Path(calls["calls"])) == ["1", "1"]

    def test_are_not_made_for_what_will_not_change(
        self, store: Path, calls: dict[str, str]
    ) -> None:
        run([number("a", 1, config={"problem": "invalid"}, resources=calls)], store)
        assert _calls(Path(calls["calls"])) == ["1"]

    @pytest.mark.slow
    def test_that_fail_leave_an_optional_stage_out_and_the_study_whole(
        self, store: Path, calls: dict[str, str]
    ) -> None:
        weights = number(
            "weights", 1, config={"problem": "transient for ever"}, optional=True, resources=calls
        )
        outcome = run([number("report", 5, weights, tolerant=True)], store)
        assert outcome.state.is_completed()
        assert outcome.results["weights"] == Absent("the connection broke", optional=True)
        assert _calls(Path(calls["calls"])) == ["1"] * 4


class TestSharedResults:
    def test_let_subflows_reuse_without_a_second_look(
        self, store: Path, calls: dict[str, str]
    ) -> None:
        a = number("a", 1, resources=calls)

        parts: list[Run] = []

        @flow(name="whole")
        def study() -> None:
            with shared_results():
                parts.append(run([number("b", 2, a)], store))
                parts.append(run([number("c", 3, a)], store, shared=["a"]))

        study()
        assert [part.names for part in parts] == [
            {"a": "Completed", "b": "Completed"},
            {"c": "Completed"},
        ]
        assert set(parts[1].results) == {"a", "c"}
        assert parts[1].results.fresh == {"a", "c"}  # by the study, of which it is a part
        assert _calls(Path(calls["calls"])) == ["1"]

    def test_end_with_their_context(self, store: Path) -> None:
        with shared_results() as results:
            results["a"] = Absent("gone", optional=True)
        with shared_results() as later:
            assert later == {}


class TestRunners:
    @pytest.mark.slow
    def test_two_processes_at_once_build_each_stage_once(
        self, store: Path, tmp_path: Path, api: str
    ) -> None:
        calls = tmp_path / "calls"
        call = ("sum_of_slow_numbers", str(store), str(calls))
        # Without TensorFlow, stages are spawned, and need not wait for a process with Keras.
        env = {"PREFECT_API_URL": api, "KERAS_BACKEND": "numpy"}
        with forked(call, call, env=env) as (parent, _):
            printed, complaints = parent.communicate(timeout=HANG_S)
        assert len(printed.splitlines()) == 2, complaints
        assert len({line.split()[-1] for line in printed.splitlines()}) == 1
        assert _calls(calls) == ["0", "1", "100", "2", "3"]
        assert unfinished(Store(store)) == []

    def test_make_the_same_bytes_with_so_many_stages_at_a_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Without TensorFlow, the isolated stage is spawned, and waits for no process with Keras.
        monkeypatch.setenv("KERAS_BACKEND", "numpy")
        terms = [
            number(f"n{value}", value, seed=value, config={"seconds": 0.3}) for value in range(5)
        ]
        contents = []
        for runner, at_once in (("local", 1), ("processes", 2)):
            watcher, store = _Watcher(), tmp_path / runner
            token = VIEW.set(watcher)
            try:
                run([number("sum", 100, *terms, isolated=True)], store, runner=runner, workers=2)
            finally:
                VIEW.reset(token)
            assert watcher.most == at_once
            assert watcher.ends == dict.fromkeys(("sum", *(term.label for term in terms)), "built")
            contents.append(_bytes_of_artifacts(store))
        assert contents[0] == contents[1]
        assert len(contents[0]) == 6


class _Watcher:
    """Counts how many stages run at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.ends: dict[str, str] = {}
        self._lock = threading.Lock()

    def started(self, label: str) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def progress(self, label: str, n_done: int, total: int, unit: str) -> None:
        pass

    def ended(self, label: str, ending: str, seconds: float) -> None:
        with self._lock:
            self.now -= 1
            self.ends[label] = ending


ISOLATED, OWN = "isolated", "in the run's own process"
ENDINGS = [(where, sign) for where in (ISOLATED, OWN) for sign in (signal.SIGTERM, signal.SIGINT)]


class TestInterruptions:
    @pytest.fixture(scope="class")
    def runs(
        self, prefect_api: str, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[dict[str, tuple[int, Path]]]:
        """Runs that never end by the names of their stages: their process, and a file of calls."""
        folder = tmp_path_factory.mktemp("endless")
        names = {f"{where}, {sign.name}": where == ISOLATED for where, sign in ENDINGS}
        calls = [
            ("endless", str(folder / name), str(folder / f"{name} calls"), name, isolated)
            for name, isolated in names.items()
        ]
        # Their stages need no Keras, nor does what they are forked from.
        gate = KerasGate(folder / "modules")
        gate.close()
        env = {"PREFECT_API_URL": prefect_api, **gate.variables}
        with forked(*calls, env=env) as (_, pids):
            paths = [Path(path) for _, _, path, _, _ in calls]
            yield dict(zip(names, zip(pids, paths, strict=True), strict=True))

    @pytest.mark.parametrize(("where", "number_of_signal"), ENDINGS)
    def test_end_a_run_soon_with_its_tasks_cancelled(
        self,
        runs: dict[str, tuple[int, Path]],
        where: str,
        number_of_signal: signal.Signals,
    ) -> None:
        """As who cancels a run does: SIGTERM to all its processes."""
        name = f"{where}, {number_of_signal.name}"
        pid, calls = runs[name]
        assert eventually(lambda: _calls(calls)), "no stage began"
        os.killpg(pid, number_of_signal)
        if where == ISOLATED or number_of_signal == signal.SIGTERM:
            assert is_gone(pid)
        states = {}

        def cancelled() -> bool:
            states.update(_states_of_tasks(name, "after it"))
            return states == {name: "Cancelled"}

        assert eventually(cancelled), states


def _states_of_tasks(*names: str) -> dict[str, str | None]:
    chosen = TaskRunFilter(name=TaskRunFilterName(any_=list(names)))
    with get_client(sync_client=True) as client:
        task_runs = client.read_task_runs(task_run_filter=chosen)
    return {task_run.name: task_run.state_name for task_run in task_runs}


class TestLeftovers:
    @pytest.fixture
    def dead_run(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> FlowRun:
        """A run that shows Running, with a task that does, too, and whose process is gone."""
        monkeypatch.setattr("tasks.leftovers.BEGINNING_S", 0.0)
        parameters = {"request": {"seed": str(store)}}
        with get_client(sync_client=True) as client:
            toy = flow(lambda: None, name="toy")
            run = client.create_flow_run(toy, parameters=parameters, state=Running())
            run.parameters = parameters
            client.create_task_run(task(lambda: 1, name="t"), run.id, "1", state=Running())
        self.lock(store, run, run_digest("toy", parameters))
        return run

    def lock(self, store: Path, run: FlowRun, digest: str) -> None:
        """Leave what a killed process leaves."""
        (store / ".runs").mkdir(parents=True, exist_ok=True)
        (store / ".runs" / str(run.id)).write_text(digest)

    def states(self, run: FlowRun) -> list[str | None]:
        """The names of a run's state, and of its task's."""
        with get_client(sync_client=True) as client:
            chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            (of_task,) = client.read_task_runs(flow_run_filter=chosen)
            return [client.read_flow_run(run.id).state_name, of_task.state_name]

    def test_of_a_dead_run_are_ended_when_another_begins(
        self, store: Path, dead_run: FlowRun
    ) -> None:
        run([number("a", 1)], store)
        assert self.states(dead_run) == ["Crashed", "Crashed"]
        assert died(Store(store), str(dead_run.id))  # `recover` can still resume it

    def test_of_an_earlier_process_are_ended_and_the_run_goes_on(
        self, store: Path, dead_run: FlowRun
    ) -> None:
        end_dead_runs(Store(store), own=str(dead_run.id))
        assert self.states(dead_run) == ["Running", "Crashed"]

    def test_of_a_run_that_just_begins_anew_are_left_alone(
        self, store: Path, dead_run: FlowRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tasks.leftovers.BEGINNING_S", 3600.0)
        end_dead_runs(Store(store))
        assert self.states(dead_run) == ["Running", "Running"]

    def test_of_a_run_with_other_parameters_are_left_alone(
        self, store: Path, dead_run: FlowRun
    ) -> None:
        self.lock(store, dead_run, run_digest("toy", {}))
        end_dead_runs(Store(store))
        assert self.states(dead_run) == ["Running", "Running"]


class TestLiveness:
    def test_a_run_is_registered_while_it_lives_and_not_after(self, store: Path) -> None:
        observations: list[tuple[bool, bool]] = []

        class Look(_Watcher):
            def started(self, label: str) -> None:
                [path] = (store / ".runs").iterdir()
                observations.append((path.exists(), died(Store(store), path.name)))

        token = VIEW.set(Look())
        try:
            outcome = run([number("a", 1)], store)
        finally:
            VIEW.reset(token)
        assert observations == [(True, False)]
        assert list((store / ".runs").iterdir()) == []
        assert not died(Store(store), str(outcome.id))


class TestLineage:
    def shown(self, outcome: Run) -> list[dict[str, Any]]:
        """The rows that the UI shows with a run, of one table at most."""
        with get_client(sync_client=True) as client:
            artifacts = client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["lineage-toy"])),
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[outcome.id])),
            )
        rows = [json.loads(str(artifact.data)) for artifact in artifacts]
        return rows[0] if rows else []

    def test_is_shown_for_what_was_built(self, store: Path) -> None:
        a = number("a", 1)
        assert [row["stage"] for row in self.shown(run([a], store))] == ["a"]
        outcome = run([number("sum", 3, a)], store)
        [row] = self.shown(outcome)
        result_name, input_name = (
            short_name("number", outcome.results[title].key) for title in ("sum", "a")
        )  # type: ignore[union-attr]
        assert row["artifact"] == result_name
        assert row["made from"] == f"a: {input_name}"
        assert row["metrics"] == "missing: 0, total: 4"
        assert outcome.tasks["sum"].message == f"sum built: {result_name}"
        assert outcome.tasks["a"].message == f"a is whole in the store: {input_name}"

    def test_is_shown_when_another_stage_failed(self, store: Path) -> None:
        outcome = run([number("a", 1), number("b", 1, config={"problem": "invalid"})], store)
        assert outcome.state.is_failed()
        assert [row["stage"] for row in self.shown(outcome)] == ["a"]

    def test_is_not_shown_if_nothing_was_built(self, store: Path) -> None:
        run([number("a", 1)], store)
        assert self.shown(run([number("a", 1)], store)) == []


class TestConcurrencyLimits:
    @pytest.fixture
    def limit(self, api: str) -> Iterator[str]:
        """A tag that one stage at a time may have."""
        with get_client(sync_client=True) as client:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name="tag:scarce", limit=1, active=True)
            )
            yield "scarce"
            client.delete_global_concurrency_limit_by_name("tag:scarce")

    def test_hold_while_a_stage_is_built_and_not_when_it_is_reused(
        self, store: Path, limit: str
    ) -> None:
        stages = [number("a", 1, isolated=True, tags=(limit,), config={"seconds": 3})]
        active_slots = set()
        with ThreadPoolExecutor() as pool, get_client(sync_client=True) as client:
            future = pool.submit(copy_context().run, run, stages, store)
            while not future.done():
                scarce = client.read_global_concurrency_limit_by_name("tag:scarce")
                active_slots.add(scarce.active_slots)
                time.sleep(0.1)
            assert future.result().names == {"a": "Completed"}
            assert active_slots == {0, 1}
            client.update_global_concurrency_limit(
                "tag:scarce", GlobalConcurrencyLimitUpdate(limit=0)
            )
            assert run(stages, store).names == {"a": "Cached"}
