"""What dead or interrupted runs leave on the server: tasks and runs that would show `Running`.

A run's lock in its store tells that its process is gone (`tasks.liveness`). The lock holds the
digest of the run's parameters, so that a file with a run's name alone ends nothing.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Cancelled, Crashed, State

from flowers17 import interrupts
from flowers17.artifacts import Store
from flowers17.config import RunOptions
from flowers17.shared.store import open_store
from tasks.liveness import dead, lives, registered, run_digest

ACTIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
IS_ACTIVE = {"type": {"any_": ACTIVE}}  # condition of a filter
END_S = 1.5  # in which the tasks of an interrupted run end, before it ends without them
BEGINNING_S = 60.0  # in which a run that begins anew has taken its lock
PAGE = 200


@contextmanager
def at_work(options: RunOptions) -> Iterator[None]:
    """Let `recover` know that this flow's run is alive, as it does while stages are built.

    First, what dead runs of the store left on the server is ended: also of this run before a retry.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        yield
        return
    parameters = context.flow.serialize_parameters(context.flow_run.parameters)
    digest = run_digest(context.flow.name, parameters)
    store, flow_run_id = open_store(options.store), str(context.flow_run.id)
    if not context.flow_run.parent_task_run_id and not lives(store, flow_run_id):
        end_dead_runs(store, own=flow_run_id)
    with registered(store, flow_run_id, digest):
        yield


def cancel_tasks(futures: Iterable[PrefectConcurrentFuture[Any]], *, leave: bool) -> None:
    """Let the tasks of an interrupted run end, and report those that cannot as cancelled.

    leave: whether the process is to end soon, whatever it still does: the worker that cancels a run
    looks every three seconds whether its process is gone.
    """
    running = {
        future.wrapped_future: future.task_run_id
        for future in futures
        if not future.wrapped_future.cancel()
    }
    _, busy = wait(running, timeout=END_S)
    if leave:
        interrupts.leave_after(END_S if busy else 2 * END_S)
    with get_client(sync_client=True) as client:
        for future in busy:
            state: State[Any] = Cancelled(message="the run was interrupted")
            with suppress(Exception):  # the server may be what the run ends for
                client.set_task_run_state(running[future], state, force=True)


def end_dead_runs(store: Store, *, own: str = "") -> None:
    """End on the server what dead runs of a store left there; they can still be resumed.

    own: the run that calls it, of which only what an earlier process left is ended.
    """
    locks = dead(store)
    if not locks:
        return
    with get_client(sync_client=True) as client:
        for flow_run_id, digest in locks.items():
            with suppress(ObjectNotFound):  # a run of another server
                run = client.read_flow_run(UUID(flow_run_id))
                if run_digest(client.read_flow(run.flow_id).name, run.parameters) != digest:
                    continue
                active = flow_run_id != own and run.state_type in ACTIVE
                since = run.state.timestamp if run.state else datetime.now(UTC)
                if not active or (datetime.now(UTC) - since).total_seconds() > BEGINNING_S:
                    end(client, run, "its process is gone", itself=active)


def end(client: SyncPrefectClient, run: FlowRun, message: str, *, itself: bool) -> None:
    """End a dead run's tasks and the runs of its parts, and, if wanted, the run itself.

    As crashed, or as cancelled if somebody was cancelling it.
    """
    cancelling = run.state_type == StateType.CANCELLING
    state: State[Any] = (Cancelled if cancelling else Crashed)(message=message)
    parts = read_runs(client, parent_flow_run_id={"any_": [run.id]})
    tasks = client.read_task_runs(
        flow_run_filter=filters.FlowRunFilter.model_validate(
            {"id": {"any_": [each.id for each in (run, *parts)]}}
        ),
        task_run_filter=filters.TaskRunFilter.model_validate({"state": IS_ACTIVE}),
        limit=PAGE,
    )
    for task_run in tasks:
        client.set_task_run_state(task_run.id, state, force=True)
    for part in (part for part in parts if part.state_type in ACTIVE):
        client.set_flow_run_state(part.id, state, force=True)
    if itself:
        client.set_flow_run_state(run.id, state, force=True)


def read_runs(
    client: SyncPrefectClient, *, flow: str | None = None, offset: int = 0, **conditions: Any
) -> list[FlowRun]:
    """A page of runs that meet conditions, which are parts of Prefect's filter, as JSON."""
    return client.read_flow_runs(
        flow_filter=filters.FlowFilter.model_validate({"name": {"any_": [flow]}}) if flow else None,
        flow_run_filter=filters.FlowRunFilter.model_validate(conditions),
        limit=PAGE,
        offset=offset,
    )
