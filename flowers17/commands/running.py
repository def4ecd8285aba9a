"""Running and planning a flow, or a sweep of one, from the command line."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Reference
from flowers17.commands.display import StageDisplay
from flowers17.config import RunOptions
from flowers17.config.run_options import weights_folder
from flowers17.data.source import dataset_source
from flowers17.errors import ServerLost
from flowers17.estimates import cost_sentence, rough_duration
from flowers17.interrupts import interrupt_guard
from flowers17.plan import Step, plan
from flowers17.request import FORMS, StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import Stage, in_order
from flowers17.sweeps.combinations import SweepSettings
from flowers17.sweeps.graph import Sweep, SweepPlan, sweep_plan
from flowers17.terminal import Terminal
from flowers17.validation import validated
from flows.flow_names import FLOWS
from flows.local_server import Server
from flows.prefect_api import configured_api
from tasks.results import Results, StagesFailed

MOST_REASONS = 4


def stages_of(flow: str, request: StudyRequest, over: SweepSettings | None = None) -> list[Stage]:
    """Stages of a flow, inputs before what reads them; over: of the flow `sweep`."""
    if over:
        from flows.sweep import swept

        return in_order([swept(request, over).summary])
    return in_order(FLOWS[flow].stages(request.settings, request.options))


def steps_of(flow: str, request: StudyRequest) -> list[Step]:
    """Steps of a flow: the stages that it would run or reuse."""
    prepare_for_prefect()
    return plan(stages_of(flow, request), open_store(request.store))


def show_plan(steps: Sequence[Step], options: RunOptions, out: Terminal) -> None:
    """Print steps, some reasons for each, and what they cost in all."""
    table = Table("", "stage", "time", "why", box=None)
    for step in steps:
        colour = "green" if step.action == "run" else "cyan"
        why = [] if step.action == "reuse" else list(step.why[:MOST_REASONS])
        if why and len(step.why) > len(why):
            why.append(f"and {len(step.why) - len(why)} more (--json)")
        seconds = step.estimate.seconds if step.estimate else None
        duration = "" if seconds is None else rough_duration(seconds)
        action = f"[{colour}]{step.action}[/]"
        table.add_row(action, escape(step.label), duration, escape("; ".join(why)))
    out.listing(table)
    costs = [step.estimate for step in steps if step.estimate]
    out.text_line(f"{len(costs)} would run, {len(steps) - len(costs)} would be reused")
    out.text_line(cost_sentence(costs, options, n_reused=len(steps) - len(costs)))
    show_downloads(steps, out)


def show_downloads(steps: Sequence[Step], out: Terminal) -> None:
    """Say which networks' weights a run would download: they are not in the weights folder."""
    downloads = [step.label for step in steps if (step.stage, step.action) == ("weights", "run")]
    if downloads:
        text = f"needs downloads: {', '.join(downloads)}; offline, put them into --weights-dir"
        out.text_line((text, "yellow"))


def show_source(request: StudyRequest, console: Terminal) -> tuple[str, ...]:
    """Say what is understood of one's own images; return the notes.

    Raises InvalidInput if they cannot be used, or if the folder of weights does not exist.
    """
    weights_folder(request.weights_dir)
    source = dataset_source(request.settings.dataset)
    if source.summary:
        console.text_line(source.summary)
    for note in source.notes:
        console.text_line((note, "yellow"))
    return source.notes


def run_flow(
    flow: str,
    request: StudyRequest,
    *,
    console: Terminal,
    over: SweepSettings | None = None,
    server: Server | None = None,
) -> tuple[Results, dict[str, int]]:
    """Run a flow in this process; return its results, and how many were built, reused or missing.

    over: what the flow `sweep` runs over. server: one that is running already, else one is found
    or started. Raises what the flow raises.
    """
    # What is wrong is refused before anything starts.
    validated(FORMS[flow], request)
    notes = show_source(request, console)
    prepare_for_prefect()
    stages = cache(lambda: stages_of(flow, request, over))
    with watched(stages, console, server) as display:
        if console.is_terminal:
            steps = plan(stages(), open_store(request.store))
            show_downloads(steps, console)
            costs = {step.label: step.estimate for step in steps if step.estimate}
            display.expect({label: cost.seconds or 0.0 for label, cost in costs.items()})
        function = FLOWS[flow].function()
        results = function(request, over) if over else function(request)
    store = open_store(request.store)
    for value in results.values():
        if isinstance(value, Reference) and value.stage == "images":
            for note in store.open(value).json("notes"):
                if note not in notes:
                    console.text_line((note, "yellow"))
    return results, {**display.counts, "missing": len(results.absent)}


def planned_sweep(request: StudyRequest, over: SweepSettings) -> tuple[Sweep, SweepPlan]:
    """A sweep and its plan, what it would run or reuse; raises InvalidSettings if it is wrong."""
    prepare_for_prefect()
    from flows.sweep import swept

    weights_folder(request.weights_dir)
    dataset_source(request.settings.dataset)
    sweep = swept(request, over)
    return sweep, sweep_plan(sweep, open_store(request.store))


def run_sweep(
    request: StudyRequest, over: SweepSettings, sweep: Sweep, *, console: Terminal
) -> dict[str, Any]:
    """Run a sweep in this process; returns counts of its stages, failures and its summary.

    summary: what `sweep.json` holds, None if no combination has a study; folder: where it lies.
    Raises what the flow raises, but for failed stages.
    """
    from flows.sweep import sweep as run

    with watched(lambda: in_order([sweep.summary]), console) as display:
        try:
            results = run(request, over)
        except StagesFailed as problem:
            results = problem.results
    absent = results.absent
    reasons = {title: result.reason for title, result in absent.items() if not result.optional}
    counts = {**display.counts, "missing": len(absent)}
    outcome = {"flow": over.flow, "counts": counts, "failed": reasons}
    summary = results[sweep.summary.title]
    if not isinstance(summary, Reference):
        return {**outcome, "summary": None, "folder": None}
    artifact = open_store(request.store).open(summary)
    return {**outcome, "summary": artifact.json("sweep"), "folder": str(artifact.path)}


def report_of(store: Path | str, results: Results) -> tuple[Path | None, dict[str, Any]]:
    """Page of a run with its `results.json`; a whole study's has a path of its own."""
    reports = [reference for reference in results.references if reference.stage == "study"]
    if not reports:
        return None, {}
    artifacts = open_store(store)
    report = results.get("report")
    artifact = artifacts.open(report if isinstance(report, Reference) else reports[-1])
    page = artifacts.root / "report" / "index.html" if "report" in results else None
    return page or artifact.file("index.html"), artifact.json("results")


@contextmanager
def watched(
    stages: Callable[[], Sequence[Stage]], console: Terminal, running: Server | None = None
) -> Iterator[StageDisplay]:
    """Let flows that are called inside have a Prefect server, and show how their stages end.

    Uses the server that PREFECT_API_URL or Prefect's profile names, else a private one. stages:
    asked for while that one starts, since their modules take seconds to import. running: a server
    to use instead. Ctrl-C ends all of it with KeyboardInterrupt. Raises ServerLost once Prefect has
    given the server up.
    """
    use = nullcontext(running) if running else Server()
    with interrupt_guard(), use as server, StageDisplay(console) as display:
        from httpx import HTTPError
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from tasks.engine import VIEW

        for stage in stages():
            stage.code()
        # Meanwhile, what would hold up the runs: Prefect imports these modules at its first ones,
        # and collections of garbage would go through all that was imported.
        for name in ("fastapi.encoders", "prefect.flow_engine", "prefect.task_engine"):
            importlib.import_module(name)
        gc.freeze()
        # The store's locks tell which runs died; heartbeats would hold up each flow's end.
        with server.connected(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            token, lost = VIEW.set(display), None
            try:
                yield display
            except HTTPError as problem:
                lost = problem
            finally:
                VIEW.reset(token)
                if not lost:  # logs and events reach the server, which stops next
                    APILogHandler().flush()
                    EventsWorker.drain_all()
            if lost:
                raise ServerLost(
                    f"expected the Prefect server at {server.api} to answer until the run's end, "
                    f"got: {lost}. Start it again, if it is yours (PREFECT_API_URL or Prefect's "
                    "profile names it); then run the same command again: what is finished is kept"
                ) from lost


def prepare_for_prefect() -> None:
    """Keep Prefect's log off the terminal, which shows stages; Prefect is not imported yet.

    Raises Flowers17Error if it could not be: its profiles are damaged.
    """
    configured_api()
    for logger in ("HANDLERS_CONSOLE", "INTERNAL"):
        os.environ.setdefault(f"PREFECT_LOGGING_{logger}_LEVEL", "CRITICAL")
