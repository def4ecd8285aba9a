"""The command `flowers17`: run, plan, sweep, predict, show, compare, serve, recover and others.

Exit codes: 0 done; 1 a stage failed or something needs attention; 2 a wrong option, setting or
input. One long module, since all commands stand together: their parameters become options by
`commands.options`, and what a command does is in its module of `commands`.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flowers17.commands.options import command
from flowers17.errors import (
    Flowers17Error,
    InvalidInput,
    PackageShadowed,
    ServerLost,
    short_repr,
)
from flowers17.request import StudyRequest
from flowers17.shared.store import existing_store
from flowers17.sweeps.settings import SweptFlow, sweep_from
from flowers17.terminal import Terminal

try:
    from flows.flow_names import FLOWS
except PackageShadowed as problem:  # no command can show it, as all need the list
    sys.exit(f"error {problem}")

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A small-data image-classification study that resumes where it was interrupted.",
)
out, err = Terminal(), Terminal(stderr=True)


# What `run` and `plan` take; `sweep`, which has arguments of its own, is a command.
Flow = StrEnum("Flow", [name for name in FLOWS if name != "sweep"])  # type: ignore[misc]
FlowArgument = Annotated[
    Flow,
    typer.Argument(
        help="\n\n".join(f"{flow.name}: {FLOWS[flow.name].description}" for flow in Flow),
        show_default=False,
    ),
]


class By(StrEnum):
    """What an ensemble's members are."""

    refit = "refit"
    average = "average"


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


@command(app, err)
def run(flow: FlowArgument, request: StudyRequest, as_json: bool) -> None:
    """Run a flow here and now; whatever is whole in the store is reused."""
    from flowers17.commands import running

    started = time.monotonic()
    results, counts = running.run_flow(flow.value, request, console=err)
    page, numbers = running.report_of(request.store, results)
    highlights, steps = numbers.get("highlights", []), numbers.get("next_steps", [])
    if as_json:
        shown = {"report": str(page), "highlights": highlights, "next_steps": steps} if page else {}
        _print_json({"counts": counts, "flow": flow.value, "stages": results, **shown})
        return
    running.show_end(results, counts, highlights, time.monotonic() - started, err)
    for step in steps:
        err.text_line(f"{step['text']} ({step['numbers']})")
    if page:
        print(page)


@command(app, err, "profile", "dataset", "seed", "store", "weights_dir", "device", "set")
def plan(flow: FlowArgument, request: StudyRequest, as_json: bool) -> None:
    """Show what a flow would run or reuse, and which input, setting or code changed."""
    from flowers17.commands import running

    steps = running.steps_of(flow.value, request)
    running.show_source(request, err)
    if as_json:
        _print_json([asdict(step) for step in steps])
    else:
        running.show_plan(steps, request.options, out)


@command(app, err)
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
    from flowers17.commands import sweeping

    planned_sweep, plan = sweeping.planned(request, sweep_settings)
    if plan_only and as_json:
        _print_json(asdict(plan))
        return
    console = out if plan_only else err
    for name in plan.combinations:
        console.text_line(f"  {name}")
    console.text_line(plan.sentence)
    if plan_only:
        return
    result = sweeping.run_sweep(request, sweep_settings, planned_sweep, console=err)
    for title, reason in result["failed"].items():
        err.text_line(("failed", "red"), f" {title}: {reason}")
    if as_json:
        _print_json(result)
    elif as_csv:
        print(sweeping.csv_text(result), end="")
    elif result["summary"]:
        sweeping.show(result["summary"], out)
        print(result["folder"])
    raise typer.Exit(bool(result["failed"]))


@command(app, err, "store", "weights_dir", "device")
def predict(
    images: list[str] | None,
    request: StudyRequest,
    model: str | None,
    by: By,
    own_learner: list[str] | None,
    as_json: bool,
    as_csv: bool,
    coverage: float | None,
    list_models: bool,
) -> None:
    """Tell the class of images by an ensemble, network or classifier of a store."""
    if as_json and as_csv:
        raise typer.BadParameter("expected one of --json and --csv, got both")
    if list_models and (images or model or as_csv):
        raise typer.BadParameter("expected --list without images, --model or --csv, got both")
    if coverage is not None and not 0 < coverage < 1:
        raise typer.BadParameter(f"expected a coverage between 0 and 1, got {coverage:g}")
    if not images and not list_models:
        raise typer.BadParameter("expected images: files, folders, or - for standard input")
    artifacts = existing_store(request.store)
    from flowers17.commands import predicting

    if list_models:
        models = predicting.models(artifacts)
        if as_json:
            _print_json(models)
        else:
            out.listing(predicting.models_table(models))
        return
    all_used = predicting.predict(
        images or [],
        store=artifacts,
        name=model,
        by=by.value,
        weights_dir=request.weights_dir,
        device=request.device,
        own_learners=own_learner or (),
        form="json" if as_json else "csv" if as_csv else "table",
        err=err,
        coverage=coverage,
    )
    raise typer.Exit(0 if all_used else 1)


@command(app, err, "store", "weights_dir", "device")
def export(
    model: str, to: Path, request: StudyRequest, own_learner: list[str] | None, as_json: bool
) -> None:
    """Write a model as a file that needs nothing of flowers17, with labels and a model card."""
    artifacts = existing_store(request.store)
    from flowers17.commands import exporting

    paths = exporting.export(
        model,
        to,
        store=artifacts,
        weights_dir=request.weights_dir,
        device=request.device,
        own_learners=own_learner or (),
        err=err,
    )
    if as_json:
        _print_json([str(path) for path in paths])
    else:
        print(*paths, sep="\n")


@command(app, err, "dataset", "set")
def relabel(answers: Path, to: Path, request: StudyRequest, as_json: bool) -> None:
    """Write a person's labels as a data set of its own; the given one stays as it is."""
    from flowers17.commands.relabelling import relabelled

    table = relabelled(request.settings.dataset, answers, to, console=err)
    if as_json:
        _print_json({"table": str(table)})
    else:
        print(table)


@command(app, err)
def show(artifact: str | None, store: str, as_json: bool) -> None:
    """Show artifacts, their metrics and their lineage."""
    from flowers17.commands import showing

    artifacts = existing_store(store)
    manifests = showing.matching(artifacts, artifact)
    if as_json:
        _print_json(manifests if artifact else list(map(showing.summary, manifests)))
    elif artifact:
        for manifest in manifests:
            for line in showing.lineage_lines(artifacts, manifest):
                out.text_line(line)
    else:
        out.listing(showing.artifacts_table(manifests))


@command(app, err)
def compare(
    before: str | None,
    after: str | None,
    store: str,
    everything: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare two studies: what differs, every metric, and paired tests on the same images."""
    from flowers17.commands import comparing
    from flowers17.reporting.studies.pair import comparison_of

    comparison = comparison_of(*comparing.study_pair(before, after, store))
    if html:
        from flowers17.reporting.studies import comparison_page

        comparison_page.write(comparison, html)
    if as_json:
        _print_json(comparison)
    else:
        comparing.show(comparison, out, everything=everything)


@command(app, err)
def history(metric: str | None, store: str, as_json: bool) -> None:
    """Show one metric over all studies of a store, and what changed in between."""
    from flowers17.commands.showing import metrics_table
    from flowers17.reporting.studies.history import history as history_of
    from flowers17.reporting.studies.history import metrics

    rows = history_of(metric, store) if metric else metrics(store)
    if as_json:
        _print_json(rows)
    else:
        out.listing(metrics_table(rows))


@command(app, err)
def mlflow(
    study: list[str] | None, store: str, to: str | None, experiment: str, as_json: bool
) -> None:
    """Send studies and their trainings to an MLflow server as runs, each once."""
    from flowers17.commands.mlflow_runs import send

    runs = send(study or (), store, uri=to, experiment=experiment)
    if as_json:
        _print_json([asdict(run) for run in runs])
        return
    for run in runs:
        effect = "was there" if run.was_there else f"sent with {run.n_trainings} trainings"
        out.text_line(f"{run.study}: {effect}, run {run.run}")


@command(app, err, "profile")
def settings(request: StudyRequest, as_json: bool) -> None:
    """List every setting that --set takes, with the profile's value."""
    from flowers17.commands.showing import settings_table

    if as_json:
        print(request.settings.model_dump_json(indent=1))
    else:
        out.listing(settings_table(request.settings))


@command(app, err)
def serve(host: str, port: int, limit: int | None, request: StudyRequest) -> None:
    """Start Prefect's server with its UI, the deployments and a worker; Ctrl-C stops them.

    The options that `run` has too are what the forms in the UI begin with.
    """
    from flowers17.commands.serving import serve as serve_until_stopped

    serve_until_stopped(request, host=host, port=port, limit=limit, console=err)


@command(app, err, "store", "weights_dir", "device")
def site(host: str, port: int, request: StudyRequest, own_learner: list[str] | None) -> None:
    """Serve the pages of a store alone: studies, reports, comparisons, a photograph to try."""
    from flowers17.commands.site_serving import serve_site

    serve_site(
        existing_store(request.store).address,
        host=host,
        port=port,
        console=err,
        weights_dir=request.weights_dir,
        device=request.device,
        own_learners=tuple(own_learner or ()),
    )


@command(app, err)
def recover(store: str | None, resume: bool, as_json: bool) -> None:
    """Find runs whose process died, force them to a terminal state, and resume them."""
    from flowers17.commands.running import prepare_for_prefect

    prepare_for_prefect()
    from flowers17.commands.recovery import recover as recover_runs

    runs = recover_runs(store, resume=resume, console=err)
    if as_json:
        _print_json([asdict(run) for run in runs])
    elif not runs:
        out.text_line("no dead runs")
    effects = {"worker": "a worker resumes it", "here": "run again here", None: "not resumed"}
    for run in () if as_json else runs:
        line = f"{run.flow} {run.name}: {run.was} → {run.now}, {effects[run.resumed]}"
        out.text_line(f"{line}; {run.problem}" if run.problem else line)
    raise typer.Exit(any(run.problem for run in runs))


@command(app, err)
def gc(store: str, keep_studies: int, older_than: float, dry_run: bool, as_json: bool) -> None:
    """Delete artifacts that no kept study needs, and what broken builds left."""
    from flowers17.commands import garbage

    artifacts = existing_store(store)
    folders = garbage.garbage(artifacts, keep_studies=keep_studies, older_than_days=older_than)
    if not dry_run:
        garbage.expect_no_run(artifacts)
        artifacts.discard([folder.path for folder in folders])
    if as_json:
        _print_json([{"what": folder.content, "bytes": folder.size} for folder in folders])
        return
    for folder in folders:
        out.text_line(f"{folder.content} {folder.size / 1e6:.1f} MB")
    total = sum(folder.size for folder in folders) / 1e6
    verb = "would be deleted" if dry_run else "deleted"
    out.text_line(f"{len(folders)} folders, {total:.1f} MB {verb}")
    out.text_line(garbage.rule(keep_studies=keep_studies, older_than_days=older_than))


@command(app, err)
def pin(artifact: str | None, store: str, remove: bool) -> None:
    """Keep an artifact, and all that it was made from, from `gc`; list what is kept so."""
    from flowers17.commands.showing import matching

    artifacts = existing_store(store)
    if artifact:
        names = [f"{each['stage']}/{each['key']}" for each in matching(artifacts, artifact)]
        if len(names) > 1:
            raise InvalidInput(
                f"{artifact}: expected one artifact, found {len(names)}: {', '.join(names)}; give "
                "more of the key"
            )
        artifacts.pin(names[0], keep=not remove)
    for name in sorted(artifacts.pinned()):
        out.text_line(name)


@command(app, err)
def doctor(store: str, weights_dir: Path | None, as_json: bool) -> None:
    """Tell what this machine offers, what is missing, and how to get it."""
    from flowers17.commands.doctor import findings, listed

    rows = findings(store, weights_dir)
    if as_json:
        _print_json([vars(finding) for finding in rows])
    else:
        out.listing(listed(rows))
    raise typer.Exit(any(finding.state == "missing" for finding in rows))


@command(app, err)
def backbones(
    names: list[str] | None,
    measure: bool,
    input_size: int,
    weights_dir: Path | None,
    as_json: bool,
) -> None:
    """List pre-trained networks with what they cost, and measure them on this machine."""
    from flowers17.commands.backbones import listed, rows

    networks = rows(names or (), weights_dir, measure=measure, input_size=input_size)
    if as_json:
        _print_json(networks)
    else:
        out.listing(listed(networks))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors made on purpose are shown without a traceback."""
    if os.environ.get("PREFECT_SERVER_ANALYTICS_ENABLED", "false").lower() in ("false", "0"):
        os.environ.setdefault("DO_NOT_TRACK", "1")  # nor does Prefect say that it would track
    try:
        app(arguments)
    except Flowers17Error as problem:
        err.text_line(("error", "red"), f" {problem}")
        if problem.details and "--json" in (arguments or sys.argv):
            _print_json({"error": str(problem), **problem.details})
        if isinstance(problem, ServerLost):
            os._exit(1)  # on the way out, Prefect would wait for it again
        sys.exit(2 if isinstance(problem, InvalidInput) else 1)
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        path = short_repr(problem.filename)
        err.text_line(("error", "red"), f" expected a shorter path, got {path}")
        sys.exit(2)
