"""A flow of toy stages, and what the Prefect server says of its runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.events.worker import EventsWorker
from prefect.states import State

from flowers17.config import RunOptions
from flowers17.errors import Flowers17Error
from flowers17.stages import Stage
from tasks.engine import run_stages
from tasks.results import Results, StagesFailed
from tests.support.processes import HANG_S, eventually


@dataclass(frozen=True)
class Run:
    """A finished run of a flow: its state, results by label, and its tasks' states by label."""

    state: State[Any]
    tasks: dict[str, State[Any]]
    id: UUID

    @property
    def results(self) -> Results:
        """What the flow returned; raises what made it fail."""
        value = self.state.result(raise_on_failure=True)
        assert isinstance(value, Results)
        return value

    @property
    def names(self) -> dict[str, str | None]:
        """The names of the tasks' states, as the UI shows them."""
        return {label: state.name for label, state in sorted(self.tasks.items())}

    @property
    def failure(self) -> Flowers17Error:
        """What made the flow fail."""
        problem = self.state.result(raise_on_failure=False)
        assert isinstance(problem, Flowers17Error)
        return problem


def run(
    stages: Iterable[Stage], store: Path | str, *, shared: Iterable[str] = (), **options: Any
) -> Run:
    """Run the stages as a flow, and return what the server tells of it.

    shared: labels of stages that another part of a larger flow ran, so that no task here does.
    """
    stage_list, ended = list(stages), Results()

    @flow(name="toy")
    def toy() -> Results:
        results = run_stages(stage_list, RunOptions(store=store, **options))
        ended.update(results)
        return results

    state = toy(return_state=True)
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    value = state.result(raise_on_failure=False)
    expected = set(value.results if isinstance(value, StagesFailed) else ended) - set(shared)
    tasks: dict[str, State[Any]] = {}
    with get_client(sync_client=True) as client:

        def recorded() -> bool:
            task_runs = client.read_task_runs(flow_run_filter=chosen)
            tasks.clear()  # until it is recorded, a task has another name
            tasks.update(
                {task_run.name: task_run.state for task_run in task_runs if task_run.state}
            )
            return {label for label, state in tasks.items() if state.is_final()} >= expected

        # The server records how tasks end a little later than the run's end.
        EventsWorker.drain_all(HANG_S)
        assert eventually(recorded), f"expected {sorted(expected)}, the server knows {tasks}"
    return Run(state, tasks, flow_run_id)
