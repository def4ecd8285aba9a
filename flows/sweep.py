"""Flow `sweep`: a flow over many settings as one graph, and what its studies have in common."""

from dataclasses import replace

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.sweeps.combinations import SweepSettings, combinations
from flowers17.sweeps.graph import Sweep, sweep_plan, with_shared_stages
from flows.flow_names import FLOWS
from flows.study_flow import study_flow
from tasks import sweep as summary
from tasks.engine import Results, run_stages
from tasks.published import plain_text

SEEDS = SweepSettings(axes=("seed=[17, 18, 19]",))


def swept(request: StudyRequest, over: SweepSettings) -> Sweep:
    """Graph of a sweep; raises InvalidSettings if it cannot be run."""
    every = combinations(request, over)
    alone = [
        replace(study, unless_failed=True)
        for combination in every
        for study in FLOWS[over.flow].stages(combination.settings, request.options)
    ]
    studies = with_shared_stages(every, alone)
    return Sweep(over.flow, tuple(every), tuple(studies), summary.stage(over.flow, every, studies))


@study_flow
def sweep(request: StudyRequest = StudyRequest(), over: SweepSettings = SEEDS) -> Results:
    """Run a flow over every combination; a failed one does not hold up the others."""
    graph = swept(request, over)
    plan = sweep_plan(graph, open_store(request.store))
    get_run_logger().info(plan.sentence)
    lines = [f"{plan.sentence}.", "", *(f"1. {plain_text(name)}" for name in plan.combinations)]
    create_markdown_artifact("\n".join(lines), key="sweep-plan", description="What is to be built")
    return run_stages([graph.summary], request.options)
