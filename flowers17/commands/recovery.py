"""`flowers17 recover`: runs whose process died are forced to a terminal state and resumed.

A run is dead if the kernel has freed the lock that it held in its store (`tasks.liveness`). One
that never came so far is dead if after a while no process here works for it. Prefect leaves both
`Running`, or reports them `Crashed` if the worker outlived them. A run that a person's own program
started on a relative path is left alone: relative to what, nobody knows here.

Whoever can write to the server, or to its database, can leave a run there that looks dead. So only
what this user has begun on this machine runs again here (`tasks.liveness`).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, State

from flowers17.artifacts import Store
from flowers17.commands.running import run_flow
from flowers17.errors import Flowers17Error
from flowers17.request import FORMS, StudyRequest
from flowers17.shared.store import open_store
from flowers17.sweeps.combinations import SweepSettings
from flowers17.terminal import Terminal
from flowers17.validation import validated
from flows.flow_names import FLOWS
from flows.local_server import Server
from flows.prefect_api import CHECKOUT
from flows.reaper import flow_runs_here
from tasks.leftovers import ACTIVE, IS_ACTIVE, PAGE, end, read_runs
from tasks.liveness import died, forget, forget_dead, forget_record, is_recorded, lives, run_digest

FOREIGN = (
    "you have not begun it on this machine; run the same command again if it is yours, and see who "
    "else can write to this Prefect server if it is not"
)
UNREGISTERED_S = 120.0
LATE_REPORT_S = 25.0


@dataclass
class Recovered:
    """A dead run and how it was recovered.

    was: its state on the server; now: the state it was forced to. resumed: `worker` if it waits for
    a worker, `here` if it was run again by this command. problem: why resuming it failed.
    """

    flow_run_id: str
    name: str
    flow: str
    store: str
    was: str
    now: Literal["Crashed", "Cancelled"]
    resumed: Literal["worker", "here"] | None = None
    problem: str | None = None


@dataclass
class Candidate:
    """A run that may be dead: its flow, its parameters, and the runs of its parts."""

    flow: str
    run: FlowRun
    request: StudyRequest
    over: SweepSettings | None
    subflow_runs: list[FlowRun]

    @property
    def store(self) -> Store:
        """The store that the run writes to; a relative one is the checkout's, where workers run."""
        place = self.request.store
        return open_store(CHECKOUT / place.expanduser() if isinstance(place, Path) else place)

    @property
    def can_be_judged(self) -> bool:
        """Whether its store can be told: a relative one only for runs of deployments."""
        place = self.request.store
        apart = isinstance(place, Path) and not place.expanduser().is_absolute()
        return self.run.deployment_id is not None or not apart

    @property
    def digest(self) -> str:
        """Name of its record in Prefect's home, if this user began it here."""
        return run_digest(self.flow, self.run.parameters)

    @property
    def cancelling(self) -> bool:
        """Whether somebody wanted it cancelled."""
        return self.run.state_type == StateType.CANCELLING


def recover(store: str | None, *, resume: bool, console: Terminal) -> list[Recovered]:
    """Force dead runs to a terminal state, free the slots they held, and resume them.

    store: only runs on this store; None: on any. A deployment's run is put back for the worker; a
    run of `flowers17 run` is run again here, if this user began it on this machine. Uses the server
    of PREFECT_API_URL, of Prefect's profile or of a running `flowers17 serve`, else a private one.
    """
    recovered, address = [], None if store is None else open_store(store).address
    with Server() as server, server.connected():
        dead_runs = _brought_down(address)
        resumable = [candidate for candidate in dead_runs if resume and not candidate.cancelling]
        of_deployments = [candidate for candidate in resumable if candidate.run.deployment_id]
        _handed_to_worker(of_deployments, console)
        for candidate in dead_runs:
            result = Recovered(
                flow_run_id=str(candidate.run.id),
                name=candidate.run.name,
                flow=candidate.flow,
                store=candidate.store.address,
                was=candidate.run.state_name or "",
                now="Cancelled" if candidate.cancelling else "Crashed",
            )
            recovered.append(result)
            if candidate in of_deployments:
                result.resumed = "worker"
            elif candidate in resumable and not is_recorded(candidate.digest):
                result.problem = FOREIGN
            elif candidate in resumable:
                flow, request, over = candidate.flow, candidate.request, candidate.over
                console.text_line(f"running {flow} again, as {candidate.run.name} did")
                try:
                    run_flow(flow, request, console=console, over=over, server=server)
                    result.resumed = "here"
                except Flowers17Error as problem:
                    result.problem = str(problem)
            forget_record(candidate.digest)
            forget_dead(candidate.store)
    return recovered


def put_back(flow_run_ids: Iterable[str]) -> None:
    """Let the next free worker take runs of deployments up again, as the UI's Retry does."""
    with get_client(sync_client=True) as client:
        for flow_run_id in flow_run_ids:
            run = client.read_flow_run(UUID(flow_run_id))
            if run.state and not (run.state.is_completed() or run.state.is_cancelled()):
                client.set_flow_run_state(run.id, AwaitingRetry(), force=True)


def _handed_to_worker(candidates: list[Candidate], console: Terminal) -> None:
    """Put runs back, and see to it that a worker's late report of their crash does not undo it."""
    with get_client(sync_client=True) as client:
        due = datetime.now(UTC)
        pools = {run.run.work_pool_name for run in candidates if run.run.work_pool_name}
        online = filters.WorkerFilter.model_validate({"status": {"any_": ["ONLINE"]}})
        if any(client.read_workers_for_work_pool(pool, worker_filter=online) for pool in pools):
            states = [candidate.run.state for candidate in candidates]
            # A run has not died after its crash was reported, nor after now.
            deaths = [state.timestamp if state and state.is_crashed() else due for state in states]
            due = max(deaths) + timedelta(seconds=LATE_REPORT_S)
        announced = False
        while True:
            for candidate in candidates:
                run = client.read_flow_run(candidate.run.id)
                if run.state and run.state.is_crashed():
                    state: State[Any] = AwaitingRetry(scheduled_time=due)
                    client.set_flow_run_state(run.id, state, force=True)
            if datetime.now(UTC) >= due:
                return
            if not announced:
                console.text_line("waiting for the worker's report of the crash")
                announced = True
            time.sleep(1)


def _brought_down(address: str | None) -> list[Candidate]:
    with get_client(sync_client=True) as client:
        candidates = [
            candidate
            for candidate in _candidates(client)
            if candidate.can_be_judged and address in (None, candidate.store.address)
        ]
        here = flow_runs_here()
        dead_runs = [candidate for candidate in candidates if _is_dead(candidate, here)]
        for candidate in dead_runs:
            crashed = candidate.run.state_type == StateType.CRASHED
            end(client, candidate.run, "its process is gone", itself=not crashed)
            for run in (candidate.run, *candidate.subflow_runs):
                forget(candidate.store, str(run.id))
        flows = filters.FlowFilter.model_validate({"name": {"any_": list(FLOWS)}})
        for deployment in client.read_deployments(flow_filter=flows):
            # Free slots that no run holds: a server may forget leases when it is restarted.
            if limit := deployment.global_concurrency_limit:
                runs = read_runs(client, deployment_id={"any_": [deployment.id]}, state=IS_ACTIVE)
                if limit.active_slots > len(runs):
                    slots = GlobalConcurrencyLimitUpdate(active_slots=len(runs))
                    client.update_global_concurrency_limit(limit.name, slots)
    return dead_runs


def _candidates(client: SyncPrefectClient) -> list[Candidate]:
    """The study's runs that may be dead, without subflow runs, which belong to them."""
    candidates = []
    for flow in FLOWS:
        for run in _runs(client, flow):
            try:
                request = validated(FORMS[flow], run.parameters.get("request", {}))
                swept = run.parameters.get("over")
                over = validated(SweepSettings, swept) if flow == "sweep" else None
            except Flowers17Error:
                continue  # another project's flow of the same name
            is_study, own = flow == "study", {"any_": [run.id]}
            parts = read_runs(client, parent_flow_run_id=own) if is_study else []
            candidates.append(Candidate(flow, run, request, over, parts))
    return candidates


def _runs(client: SyncPrefectClient, flow: str) -> list[FlowRun]:
    """The flow's runs that may be dead, but for those of parts of a study."""
    runs, states = list[FlowRun](), {"type": {"any_": [*ACTIVE, StateType.CRASHED]}}
    conditions = {"state": states, "parent_task_run_id": {"is_null_": True}}
    while len(page := read_runs(client, flow=flow, offset=len(runs), **conditions)) == PAGE:
        runs += page
    return runs + page


def _is_dead(candidate: Candidate, here: set[str]) -> bool:
    ids = [str(run.id) for run in (candidate.run, *candidate.subflow_runs)]
    if ids[0] in here or any(lives(candidate.store, id) for id in ids):
        return False
    if any(died(candidate.store, id) for id in ids):
        return True
    state = candidate.run.state
    if state is None or state.type == StateType.CRASHED or not candidate.store.root.exists():
        return False
    return (datetime.now(UTC) - state.timestamp).total_seconds() > UNREGISTERED_S
