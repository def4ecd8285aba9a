"""Stages as Prefect tasks: submitted once inputs are there, reused if whole, watched meanwhile."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from prefect import allow_failure, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run, task_run
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff

from flowers17 import interrupts
from flowers17.artifacts import Reference, Store, short_name
from flowers17.cluster import connected
from flowers17.config import RunOptions
from flowers17.errors import (
    MAX_CHARACTERS,
    DownloadFailed,
    Flowers17Error,
    StageFailed,
    WeightsMissing,
)
from flowers17.isolation import ProcessInterrupted, ensure_isolated
from flowers17.shared.store import open_store
from flowers17.stages import Outcome, Progress, References, Stage, ensure, existing, in_order
from tasks.liveness import registered
from tasks.own_runs import run_digest
from tasks.published import ProgressArtifact, publish_contents, publish_lineage

RETRIES = 3
MOST_WAITING = 256  # stages that wait for a place in a cluster or are built there
LEASE_S = 60.0  # how long a killed run keeps its place under a concurrency limit


@dataclass(frozen=True)
class Absent:
    """Reason why a stage has no artifact; optional: whether the study goes on without it.

    details: of the error, as in `Flowers17Error`.
    """

    reason: str
    optional: bool
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)


Result = Reference | Absent
Results = dict[str, Result]
TaskInput = Result | Outcome | Exception  # of a stage's task, for an input of the stage


class StagesFailed(StageFailed):
    """Stages that are not optional have no result; `results` holds what all stages gave."""

    max_characters = 20_000  # it has a line for each cause

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results
        absent = (result for result in results.values() if isinstance(result, Absent))
        self.details = {key: value for cause in absent for key, value in cause.details.items()}

    def naming(self, page: Path) -> "StagesFailed":
        """The same error, which names the page of the report on what there is."""
        return StagesFailed(f"{self}\nThe report on what there is: {page}", self.results)


class Build(Protocol):
    """Builds a stage outside of this process, and returns its artifact: `ensure_isolated`."""

    def __call__(
        self,
        stage: Stage,
        inputs: References,
        store: Store,
        *,
        progress: Progress,
        logger: logging.Logger | logging.LoggerAdapter,
    ) -> Outcome: ...


@dataclass(frozen=True)
class _Builders:
    """Ways to build the stages of a run: apart, outside of this process; here: held meanwhile."""

    apart: Build
    here: threading.BoundedSemaphore


class View(Protocol):
    """Display of stages while they run."""

    def started(self, label: str) -> None:
        """A stage begins."""

    def progress(self, label: str, n_done: int, total: int, unit: str) -> None:
        """A stage has done so many of its units."""

    def ended(self, label: str, ending: str, seconds: float) -> None:
        """A stage ended: built, reused, interrupted (and tried again), missing or failed."""


VIEW: ContextVar[View | None] = ContextVar("VIEW", default=None)
_SHARED: ContextVar[Results | None] = ContextVar("SHARED", default=None)


@contextmanager
def at_work(options: RunOptions) -> Iterator[None]:
    """Let `recover` know that this flow's run is alive, as it does while stages are built."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        yield
        return
    parameters = context.flow.serialize_parameters(context.flow_run.parameters)
    digest = run_digest(context.flow.name, parameters)
    with registered(open_store(options.store), str(context.flow_run.id), digest):
        yield


@contextmanager
def shared_results(options: RunOptions) -> Iterator[Results]:
    """Let the subflows inside share what each of them built, reused or found missing."""
    results: Results = {}
    token = _SHARED.set(results)
    try:
        with at_work(options):
            yield results
    finally:
        _SHARED.reset(token)


def sharing() -> bool:
    """Whether this flow runs as a part of a larger one."""
    return _SHARED.get() is not None


def run_stages(stages: Sequence[Stage], options: RunOptions) -> Results:
    """Results by title: the artifact of every stage that is needed, or why it is absent.

    Call it from a flow. Stages that don't depend on a failed one are still built.
    Raises StagesFailed at the end if a stage that is not optional failed.
    """
    store = open_store(options.store)
    shared = _SHARED.get()
    results: Results = shared if shared is not None else {}
    pending = [stage for stage in in_order(stages) if stage.title not in results]
    n_threads = {"local": 1, "processes": options.workers, "ray": MOST_WAITING}[options.runner]
    pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=n_threads)
    with at_work(options):
        with pool as runner, _builders(options, store) as builders:
            built = _settle(pending, results, runner, store, builders)
        try:
            publish_lineage(store, built, flow_run.get_flow_name() or "flow")
        finally:
            _raise_if_failed(in_order(stages), results)
    return results


def _settle(
    stages: Sequence[Stage],
    results: Results,
    runner: ThreadPoolTaskRunner[Any],
    store: Store,
    builders: _Builders,
) -> list[Reference]:
    """Submit each stage once its inputs have results, and add its own result to them.

    One that waited for its inputs in the pool would hold a thread that others could use. Returns
    what was built, in that order; what was reused is not in it.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    waiting = {stage.title: stage for stage in stages}
    ended: SimpleQueue[Stage] = SimpleQueue()
    built = []
    for _ in stages:
        interrupts.check()
        for stage in [stage for stage in waiting.values() if _has_inputs(stage, results)]:
            del waiting[stage.title]
            inputs: dict[str, Any] = {
                name: futures.get(needed.title) or results[needed.title]
                for name, needed in stage.inputs.items()
            }
            # Without the mark, a stage whose input failed would stay pending for ever.
            inputs = {name: allow_failure(value) for name, value in inputs.items()}
            future = futures[stage.title] = runner.submit(
                _prefect_task(stage.name),
                parameters={"stage": stage, "inputs": inputs, "store": store, "builders": builders},
                wait_for=None,
            )
            future.add_done_callback(_putting(stage, ended))
        stage = ended.get()
        value = futures[stage.title].result(raise_on_failure=False)
        results[stage.title] = _result_of(stage, value)
        if isinstance(value, Outcome) and not value.reused:
            built.append(value.reference)
    return built


def _raise_if_failed(stages: Sequence[Stage], results: Results) -> None:
    failed: dict[str, list[str]] = {}
    for stage in stages:
        result = results[stage.title]
        if isinstance(result, Absent) and not result.optional:
            failed.setdefault(result.reason, []).append(stage.title)
    if failed:
        n_failed = sum(len(titles) for titles in failed.values())
        raise StagesFailed(
            f"{n_failed} of {len(results)} stages have no result (the others are kept; run the "
            "same command again once the cause is mended)\n"
            + "\n".join(_explained(reason, titles) for reason, titles in failed.items()),
            results,
        )


def _has_inputs(stage: Stage, results: Results) -> bool:
    return all(needed.title in results for needed in stage.inputs.values())


def _putting(stage: Stage, ended: SimpleQueue[Stage]) -> Callable[[Any], None]:
    return lambda _: ended.put(stage)


@contextmanager
def _builders(options: RunOptions, store: Store) -> Iterator[_Builders]:
    here = threading.BoundedSemaphore(options.workers)
    if options.runner == "ray":
        with connected(options, store) as cluster:
            yield _Builders(cluster.ensure, here)
    else:
        yield _Builders(ensure_isolated, here)


def _explained(reason: str, titles: Sequence[str]) -> str:
    """Line on stages without a result: the first failed, the others come after it."""
    n_after = len(titles) - 1
    after = f" (and {n_after} stage{'s' * (n_after > 1)} after it)" if n_after else ""
    return f"{titles[0]}{after}: {reason}"


def _result_of(stage: Stage, value: TaskInput) -> Result:
    if isinstance(value, Outcome):
        return value.reference
    if isinstance(value, Exception):
        details = getattr(value, "details", {})
        return Absent(str(value) or repr(value), _may_lack(stage, value), details)
    return value


def _may_lack(stage: Stage, problem: Exception) -> bool:
    """Whether a study may go on without a stage that has this problem."""
    return stage.optional and isinstance(problem, WeightsMissing | DownloadFailed)


def _hindrance(stage: Stage, absent: Sequence[Absent]) -> Absent | None:
    """Absent input that keeps a stage from being built, if there is one."""
    if stage.tolerant:
        absent = [cause for cause in absent if stage.unless_failed and not cause.optional]
    return absent[0] if absent else None


def _is_transient(task: Any, run: Any, state: State[Any]) -> bool:
    problem = state.result(raise_on_failure=False)
    return isinstance(problem, DownloadFailed) and problem.transient


def _title(parameters: dict[str, Any]) -> str:
    return str(parameters["stage"].title)


@cache
def _prefect_task(name: str) -> Any:
    return _run_stage.with_options(name=name)


@task(
    task_run_name=_title,  # type: ignore[arg-type]  # no function fits the protocol of Prefect
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=_is_transient,
)
def _run_stage(
    stage: Stage,
    inputs: Mapping[str, TaskInput],
    store: Store,
    builders: _Builders,
) -> State[Any]:
    results = {name: _result_of(stage.inputs[name], value) for name, value in inputs.items()}
    absent = [result for result in results.values() if isinstance(result, Absent)]
    if cause := _hindrance(stage, absent):
        return Completed(name="Skipped", message=cause.reason, data=cause)
    view, started = VIEW.get(), time.monotonic()
    if view:
        view.started(stage.title)
    try:
        outcome = _outcome(stage, results, store, builders)
    except Flowers17Error as problem:
        transient = isinstance(problem, DownloadFailed) and problem.transient
        again = transient and (task_run.get_run_count() or 0) <= RETRIES
        interrupted = again or isinstance(problem, ProcessInterrupted)
        may_lack = _may_lack(stage, problem)
        ending = "interrupted" if interrupted else "missing" if may_lack else "failed"
        _tell(view, stage, ending, started)
        if transient or not may_lack:
            raise
        get_run_logger().warning("%s: %s", stage.title, problem)
        return Completed(
            name="Missing", message=str(problem), data=Absent(str(problem), optional=True)
        )
    except BaseException as problem:
        _tell(view, stage, "failed", started)
        if len(str(problem)) > MAX_CHARACTERS:  # Prefect's database would keep all of it
            failure = StageFailed(f"stage {stage.label}: {type(problem).__name__}: {problem}")
            raise failure.with_traceback(problem.__traceback__) from None
        raise
    _tell(view, stage, "reused" if outcome.reused else "built", started)
    if not stage.variant:  # the tables of each study of a sweep could not be told apart
        publish_contents(store, outcome.reference)
    name = short_name(outcome.reference.stage, outcome.reference.key)
    if outcome.reused:
        message = f"{stage.title} is whole in the store: {name}"
        return Completed(name="Cached", message=message, data=outcome)
    return Completed(message=f"{stage.title} built: {name}", data=outcome)


def _tell(view: View | None, stage: Stage, ending: str, started: float) -> None:
    if view:
        view.ended(stage.title, ending, time.monotonic() - started)


def _outcome(
    stage: Stage, results: Mapping[str, Result], store: Store, builders: _Builders
) -> Outcome:
    references = {
        name: result if isinstance(result, Reference) else None for name, result in results.items()
    }
    view = VIEW.get()
    with ProgressArtifact(stage.title, view.progress if view else None) as progress:
        if not stage.isolated:
            with builders.here:
                return ensure(stage, references, store, progress=progress)
        if outcome := existing(stage, references, store):
            return outcome
        # As tags of the task they would hold up a stage that is in the store, too.
        with concurrency([f"tag:{tag}" for tag in stage.tags], lease_duration=LEASE_S):
            return builders.apart(
                stage, references, store, progress=progress, logger=get_run_logger()
            )
