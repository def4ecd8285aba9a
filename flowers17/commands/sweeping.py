"""A sweep from the command line: its plan, its run and its result."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Reference, short_name
from flowers17.commands.running import prepare_for_prefect, watched
from flowers17.data.source import dataset_source
from flowers17.reporting.studies.pair import number_text
from flowers17.reporting.studies.sweeps import EVERY
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import in_order
from flowers17.sweeps.combinations import SweepSettings
from flowers17.sweeps.graph import Sweep, SweepPlan, sweep_plan
from flowers17.terminal import Terminal


def planned(request: StudyRequest, over: SweepSettings) -> tuple[Sweep, SweepPlan]:
    """A sweep and its plan, what it would run or reuse; raises InvalidSettings if it is wrong."""
    prepare_for_prefect()
    from flows.sweep import swept

    request.options.check_weights_dir()
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
    from tasks.results import StagesFailed

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


def show(summary: dict[str, Any], out: Terminal) -> None:
    """Print what `sweep.json` holds, but for the numbers of single tables."""
    studies = Table("study", "combination")
    for row in summary["combinations"]:
        studies.add_row(short_name(*row["study"].split("/")), escape(row["combination"]))
    for name in summary["failed"]:
        studies.add_row("[red]failed, counted nowhere[/]", escape(name))
    out.listing(studies)
    out.text_line("")
    # The metrics, but for counts that are the same of all studies.
    metrics = summary["metrics"]
    counts = [row for row in metrics if row["metric"].startswith("n_") and row["group"] == EVERY]
    constant = {row["metric"] for row in counts if row["lowest"] == row["highest"]}
    names = dict.fromkeys(row["metric"] for row in metrics if row["metric"] not in constant)
    table = Table("metric", "over")
    for name in ("n", "mean", "± s.d.", "best"):
        table.add_column(name, justify="right")
    table.add_column("of")
    for name in names:
        title = name
        for row in metrics:
            if row["metric"] == name:
                texts = [number_text(row[column]) for column in ("n", "mean", "spread", "best")]
                table.add_row(escape(title), escape(row["group"]), *texts, escape(row["best_of"]))
                title = ""
    out.listing(table)
