"""Commands that run flows, plan them, or serve them; what they do is in modules of their own."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flowers17.commands.options import command, err, out, print_json
from flowers17.request import StudyRequest
from flowers17.sweeps.combinations import SweptFlow, sweep_from
from flows.flow_names import FLOWS

# What `run` and `plan` take; `sweep`, which has arguments of its own, is a command.
Flow = StrEnum("Flow", [name for name in FLOWS if name != "sweep"])  # type: ignore[misc]
FlowArgument = Annotated[
    Flow,
    typer.Argument(
        help="\n\n".join(f"{flow.name}: {FLOWS[flow.name].description}" for flow in Flow),
        show_default=False,
    ),
]


@command()
def run(flow: FlowArgument, request: StudyRequest, as_json: bool) -> None:
    """Run a flow here and now; whatever is whole in the store is reused."""
    from flowers17.commands import running

    started = time.monotonic()
    results, counts = running.run_flow(flow.value, request, console=err)
    page, numbers = running.report_of(request.store, results)
    highlights, steps = numbers.get("highlights", []), numbers.get("next_steps", [])
    if as_json:
        shown = {"report": str(page), "highlights": highlights, "next_steps": steps} if page else {}
        print_json({"counts": counts, "flow": flow.value, "stages": results.to_json(), **shown})
        return
    for reason in results.reasons:
        err.text_line((reason, "yellow"))
    err.text_line(f"{results.counts} in {time.monotonic() - started:.1f} s")
    for line in highlights:
        ends = "–".join(f"{end:.3f}" for end in line["interval"] or ())
        interval = f", 95 % interval {ends}" if ends else ""
        tag = f" ({line['tag']})" if line["tag"] else ""
        value = f"{line['value']} {line['measure']}{interval}"
        err.text_line(f"{value}: {line['label']}, {line['detail']}{tag}")
    for step in steps:
        err.text_line(f"{step['text']} ({step['numbers']})")
    if page:
        print(page)


@command("profile", "dataset", "seed", "store", "weights_dir", "device", "set")
def plan(flow: FlowArgument, request: StudyRequest, as_json: bool) -> None:
    """Show what a flow would run or reuse, and which input, setting or code changed."""
    from flowers17.commands import running

    steps = running.steps_of(flow.value, request)
    running.show_source(request, err)
    if as_json:
        print_json(steps)
    else:
        running.show_plan(steps, request.options, out)


@command()
def sweep(
    flow: SweptFlow,
    axis: list[str] | None,
    variant: list[str] | None,
    plan_only: bool,
    request: StudyRequest,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Run a flow over many settings or seeds, what they share once, and sum the studies up."""
    if as_csv and (as_json or plan_only):
        raise typer.BadParameter("expected --csv without --json or --plan, got both")
    sweep_settings = sweep_from(axis or (), variant or (), flow=flow)
    from flowers17.commands import running

    planned, plan = running.planned_sweep(request, sweep_settings)
    if plan_only and as_json:
        print_json(plan)
        return
    console = out if plan_only else err
    for name in plan.combinations:
        console.text_line(f"  {name}")
    console.text_line(plan.sentence)
    if plan_only:
        return
    result = running.run_sweep(request, sweep_settings, planned, console=err)
    for title, reason in result["failed"].items():
        err.text_line(("failed", "red"), f" {title}: {reason}")
    if as_json:
        print_json(result)
    elif as_csv:
        folder = result["folder"]
        print((Path(folder) / "sweep-metrics.csv").read_text() if folder else "", end="")
    elif result["summary"]:
        from flowers17.commands.showing import show_sweep

        show_sweep(result["summary"], out)
        print(result["folder"])
    raise typer.Exit(bool(result["failed"]))


@command("profile")
def settings(request: StudyRequest, as_json: bool) -> None:
    """List every setting that --set takes, with the profile's value."""
    from flowers17.commands.showing import settings_table

    if as_json:
        print(request.settings.model_dump_json(indent=1))
    else:
        out.listing(settings_table(request.settings))


@command()
def serve(host: str, port: int, limit: int | None, request: StudyRequest) -> None:
    """Start Prefect's server with its UI, the deployments and a worker; Ctrl-C stops them.

    The options that `run` has too are what the forms in the UI begin with.
    """
    from flowers17.commands.serving import serve as serve_until_stopped

    serve_until_stopped(request, host=host, port=port, limit=limit, console=err)


@command()
def recover(store: str | None, resume: bool, as_json: bool) -> None:
    """Find runs whose process died, force them to a terminal state, and resume them."""
    from flowers17.commands.running import prepare_for_prefect

    prepare_for_prefect()
    from flowers17.commands.recovery import recover as recover_runs

    runs = recover_runs(store, resume=resume, console=err)
    if as_json:
        print_json(runs)
    elif not runs:
        out.text_line("no dead runs")
    effects = {"worker": "a worker resumes it", "here": "run again here", None: "not resumed"}
    for run in () if as_json else runs:
        line = f"{run.flow} {run.name}: {run.was} → {run.now}, {effects[run.resumed]}"
        out.text_line(f"{line}; {run.problem}" if run.problem else line)
    raise typer.Exit(any(run.problem for run in runs))
