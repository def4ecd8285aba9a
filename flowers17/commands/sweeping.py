"""A sweep from the command line: its plan, the run, and what it came to."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Reference, short_name
from flowers17.commands.comparing import number_text
from flowers17.commands.running import prepare_for_prefect, watched
from flowers17.data.source import identify
from flowers17.reporting.studies.sweeps import EVERY
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import in_order
from flowers17.sweeps.graph import Sweep, SweepPlan, sweep_plan
from flowers17.sweeps.settings import SweepSettings


def planned(request: StudyRequest, over: SweepSettings) -> tuple[Sweep, SweepPlan]:
    """Return a sweep and what it would run or reuse; raises InvalidSettings if it is wrong."""
    prepare_for_prefect()
    from flows.sweep import swept

    identify(request.settings.dataset.source)
    sweep = swept(request, over)
    return sweep, sweep_plan(sweep, open_store(request.store))


def run_sweep(
    request: StudyRequest, over: SweepSettings, sweep: Sweep, *, console: Console
) -> dict[str, Any]:
    """Run a sweep in this process; return how its stages ended, what failed, and its summary.

    summary: what `sweep.json` holds, None if no combination has a study; folder: where it lies.
    Raises what the flow raises, but for failed stages.
    """
    from flows.sweep import sweep as run
    from tasks.engine import Absent, StagesFailed

    with watched(lambda: in_order([sweep.summary]), console) as display:
        try:
            results = run(request, over)
        except StagesFailed as problem:
            results = problem.results
    reasons = {
        title: one.reason
        for title, one in results.items()
        if isinstance(one, Absent) and not one.optional
    }
    found = {"flow": over.flow, "counts": display.counts, "failed": reasons}
    made = results[sweep.summary.title]
    if not isinstance(made, Reference):
        return {**found, "summary": None, "folder": None}
    artifact = open_store(request.store).open(made)
    return {**found, "summary": artifact.json("sweep"), "folder": str(artifact.path)}


def csv_text(found: dict[str, Any]) -> str:
    """Return the summary of the metrics as CSV, as it lies in the store."""
    return (Path(found["folder"]) / "sweep-metrics.csv").read_text() if found["folder"] else ""


def show(summary: dict[str, Any], out: Console) -> None:
    """Print what `sweep.json` holds, but for the numbers of single tables."""
    studies = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    studies.add_column("combination", overflow="fold")
    studies.add_column("study", no_wrap=True)
    for one in summary["combinations"]:
        stage, _, key = one["study"].partition("/")
        studies.add_row(escape(one["combination"]), short_name(stage, key))
    for name in summary["failed"]:
        studies.add_row(escape(name), "[red]failed, counted nowhere[/]")
    out.print(studies, highlight=False)
    out.print()
    out.print(_metrics_table(summary["metrics"]), highlight=False)


def _metrics_table(metrics: list[dict[str, Any]]) -> Table:
    """Return the table of the metrics, but for counts that are the same of all studies."""
    counts = [one for one in metrics if one["metric"].startswith("n_") and one["group"] == EVERY]
    same = {one["metric"] for one in counts if one["lowest"] == one["highest"]}
    names = [one for one in dict.fromkeys(one["metric"] for one in metrics) if one not in same]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("metric", overflow="fold")
    table.add_column("over", overflow="fold")
    for name in ("n", "mean", "± s.d.", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of", overflow="fold")
    for name in names:
        title = name
        for one in metrics:
            if one["metric"] == name:
                texts = [number_text(one[part]) for part in ("n", "mean", "spread", "best")]
                table.add_row(escape(title), escape(one["group"]), *texts, escape(one["best_of"]))
                title = ""
    return table
