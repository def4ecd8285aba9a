"""Stages as Prefect tasks: submitted once inputs are there, reused if whole, watched meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import RunInput, TaskRunResult
from prefect.concurrency.sync import concurrency
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectConcurrentFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Completed, Crashed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff

from flowers17 import errors, interrupts
from flowers17.artifacts import Reference, Store, short_name
from flowers17.cluster import connected
from flowers17.config import RunOptions
from flowers17.isolation import ProcessInterrupted, ensure_isolated
from flowers17.shared.store import open_store
from flowers17.stages import Outcome, Stage, ensure, existing, in_order
from tasks.leftovers import at_work, cancel_tasks
from tasks.published import (
    PUBLISHED,
    ProgressArtifact,
    publish_cached,
    publish_contents,
    publish_lineage,
)
from tasks.results import Absent, Result, Results, raise_if_failed

RETRIES = 3
MOST_WAITING = 256  # stages that wait for a place in a cluster or are built there
LEASE_S = 60.0  # how long a killed run keeps its place under a concurrency limit


class _Builders(NamedTuple):
    """Ways to build a run's stages: outside of this process, or here, while a place is held."""

    apart: Callable[..., Outcome]
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
def shared_results() -> Iterator[Results]:
    """Let the subflows inside share what each of them built, reused or found missing."""
    results = Results()
    token = _SHARED.set(results)
    try:
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
    results = shared if shared is not None else Results()
    pending = [stage for stage in in_order(stages) if stage.title not in results]
    n_threads = {"local": 1, "processes": options.workers, "ray": MOST_WAITING}[options.runner]
    pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=n_threads)
    with at_work(options):
        with interrupts.building(), pool as runner, _builders(options, store) as builders:
            futures: dict[str, PrefectConcurrentFuture[Any]] = {}
            try:
                built = _settle(pending, results, runner, store, builders, futures)
            except BaseException as problem:
                interrupts.end_builds()
                if not isinstance(problem, Exception):
                    cancel_tasks(futures.values(), leave=isinstance(problem, TerminationSignal))
                raise
        results = results.of(in_order(stages))
        try:
            publish_lineage(store, built, flow_run.get_flow_name() or "flow")
        finally:
            raise_if_failed(results)
    return results


def _settle(
    stages: Sequence[Stage],
    results: Results,
    runner: ThreadPoolTaskRunner[Any],
    store: Store,
    builders: _Builders,
    futures: dict[str, PrefectConcurrentFuture[Any]],
) -> list[Reference]:
    """Submit each stage once its inputs have results, and add its own result to them.

    One that waited for its inputs in the pool would hold a thread that others could use. One that
    is whole in the store needs no thread. Returns what was built, in that order; what was reused is
    not in it. futures: filled by title.
    """
    waiting = {stage.title: stage for stage in stages}
    ended: SimpleQueue[tuple[Stage, Outcome | PrefectConcurrentFuture[Any]]] = SimpleQueue()
    task_run_ids: dict[str, UUID] = {}
    built = []
    for _ in stages:
        interrupts.check()
        ready = [
            stage
            for stage in waiting.values()
            if all(needed.title in results for needed in stage.inputs.values())
        ]
        for stage in ready:
            del waiting[stage.title]
            inputs = {name: results[needed.title] for name, needed in stage.inputs.items()}
            titles = {needed.title for needed in stage.inputs.values()} & set(task_run_ids)
            origins: set[RunInput] = {TaskRunResult(id=task_run_ids[title]) for title in titles}
            if outcome := _cached(stage, inputs, store):  # without the limits of its tags
                task_key, state = _prefect_task(stage.name).task_key, _final_state(stage, outcome)
                task_run_ids[stage.title] = publish_cached(stage.title, task_key, state, origins)
                _tell(VIEW.get(), stage, "reused", time.monotonic())
                ended.put((stage, outcome))
                continue
            future = futures[stage.title] = runner.submit(
                _prefect_task(stage.name),
                parameters={"stage": stage, "inputs": inputs, "store": store, "builders": builders},
                dependencies={"inputs": origins},
            )
            task_run_ids[stage.title] = future.task_run_id
            future.add_done_callback(lambda _, end=(stage, future): ended.put(end))  # type: ignore[misc]
        stage, end = ended.get()
        value = end if isinstance(end, Outcome) else end.result(raise_on_failure=False)
        results[stage.title] = _result_of(stage, value)
        if isinstance(value, Outcome) and not value.reused:
            built.append(value.reference)
            results.fresh.add(stage.title)
    return built


def _cached(stage: Stage, inputs: Mapping[str, Result], store: Store) -> Outcome | None:
    """Artifact of a stage that a task would only look up; None also where it cannot be told."""
    if stage.name in PUBLISHED or _lacks(stage, inputs):
        return None
    with suppress(Exception):  # the task will meet it, too, and tell it
        return existing(stage, _references(inputs), store)
    return None


def _final_state(stage: Stage, outcome: Outcome) -> State[Any]:
    name = short_name(outcome.reference.stage, outcome.reference.key)
    if outcome.reused:
        message = f"{stage.title} is whole in the store: {name}"
        return Completed(name="Cached", message=message, data=outcome)
    return Completed(message=f"{stage.title} built: {name}", data=outcome)


@contextmanager
def _builders(options: RunOptions, store: Store) -> Iterator[_Builders]:
    here = threading.BoundedSemaphore(options.workers)
    if options.runner == "ray":
        with connected(options, store) as cluster:
            yield _Builders(cluster.ensure, here)
    else:
        yield _Builders(ensure_isolated, here)


def _result_of(stage: Stage, value: Result | Outcome | Exception) -> Result:
    if isinstance(value, Outcome):
        return value.reference
    if isinstance(value, Exception):
        details = getattr(value, "details", {})
        return Absent(str(value) or repr(value), _may_lack(stage, value), details, stage.title)
    return value


def _may_lack(stage: Stage, problem: Exception) -> bool:
    """Whether a study may go on without a stage that has this problem."""
    return stage.optional and isinstance(problem, errors.WeightsMissing | errors.DownloadFailed)


def _is_transient(problem: Any) -> bool:
    return isinstance(problem, errors.DownloadFailed) and problem.transient


@cache
def _prefect_task(name: str) -> Any:
    return _run_stage.with_options(name=name)


@task(
    task_run_name=lambda parameters: parameters["stage"].title,  # type: ignore[arg-type]
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=lambda _, __, state: _is_transient(state.result(raise_on_failure=False)),
)
def _run_stage(
    stage: Stage,
    inputs: Mapping[str, Result],
    store: Store,
    builders: _Builders,
) -> State[Any]:
    if absent := _lacks(stage, inputs):
        return Cancelled(name="Skipped", message=absent[0].reason, data=absent[0])
    view, started = VIEW.get(), time.monotonic()
    if view:
        view.started(stage.title)
    try:
        outcome = _outcome(stage, inputs, store, builders)
    except errors.Flowers17Error as problem:
        transient = _is_transient(problem)
        again = transient and (task_run.get_run_count() or 0) <= RETRIES
        interrupted = isinstance(problem, ProcessInterrupted) or interrupts.ending()
        may_lack = _may_lack(stage, problem)
        ending = "interrupted" if interrupted or again else "missing" if may_lack else "failed"
        _tell(view, stage, ending, started)
        lack = Absent(str(problem), optional=may_lack, cause=stage.title)
        if interrupted:
            return Cancelled(message=lack.reason, data=lack)
        if transient or not may_lack:
            raise
        get_run_logger().warning("%s: %s", stage.title, problem)
        # Of Prefect's types of states that are final, the one for what the surroundings lack.
        return Crashed(name="Missing", message=lack.reason, data=lack)
    except BaseException as problem:
        _tell(view, stage, "failed", started)
        if len(str(problem)) > errors.MAX_CHARACTERS:  # Prefect's database would keep all of it
            failure = errors.StageFailed(
                f"stage {stage.label}: {type(problem).__name__}: {problem}"
            )
            raise failure.with_traceback(problem.__traceback__) from None
        raise
    _tell(view, stage, "reused" if outcome.reused else "built", started)
    if not stage.variant:  # the tables of each study of a sweep could not be told apart
        publish_contents(store, outcome.reference)
    return _final_state(stage, outcome)


def _lacks(stage: Stage, inputs: Mapping[str, Result]) -> list[Absent]:
    """Absent inputs that a stage is skipped for."""
    absent = [result for result in inputs.values() if isinstance(result, Absent)]
    if stage.tolerant:
        return [cause for cause in absent if stage.unless_failed and not cause.optional]
    return absent


def _references(inputs: Mapping[str, Result]) -> dict[str, Reference | None]:
    return {
        name: result if isinstance(result, Reference) else None for name, result in inputs.items()
    }


def _tell(view: View | None, stage: Stage, ending: str, started: float) -> None:
    if view:
        view.ended(stage.title, ending, time.monotonic() - started)


def _outcome(
    stage: Stage, inputs: Mapping[str, Result], store: Store, builders: _Builders
) -> Outcome:
    references, view = _references(inputs), VIEW.get()
    with ProgressArtifact(stage.title, view.progress if view else None) as progress:
        if not stage.isolated:
            with builders.here:
                return ensure(stage, references, store, progress=progress)
        # As tags of the task they would hold up a stage that is in the store, too.
        with concurrency([f"tag:{tag}" for tag in stage.tags], lease_duration=LEASE_S):
            return builders.apart(
                stage, references, store, progress=progress, logger=get_run_logger()
            )
