"""The command `flowers17`: run, plan, sweep, predict, show, compare, serve, recover and others.

Exit codes: 0 done; 1 a stage failed or something needs attention; 2 a wrong option, setting or
input. One long module, since all commands and their own options stand together. Options that the
form has too are in `commands.options`, the words of others in `commands/options.yaml`; what a
command does is in its module of `commands`.
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
from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Reference
from flowers17.commands.options import Json, OwnLearner, expanded, option, own, with_request
from flowers17.config import RunOptions
from flowers17.errors import (
    Flowers17Error,
    InvalidInput,
    PackageShadowed,
    ServerLost,
    short_repr,
)
from flowers17.interrupts import INTERRUPTED
from flowers17.request import StudyRequest
from flowers17.shared.store import existing_store, open_store
from flowers17.sweeps.settings import SweptFlow, sweep_from
from flowers17.terminal import Terminal
from flowers17.validation import validated

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
MOST_REASONS = 4


# What `run` and `plan` take; `sweep`, which has arguments of its own, is a command.
Flow = StrEnum("Flow", [name for name in FLOWS if name != "sweep"])  # type: ignore[misc]


class By(StrEnum):
    """What an ensemble's members are."""

    refit = "refit"
    average = "average"


FlowArgument = Annotated[
    Flow,
    typer.Argument(
        help="\n\n".join(f"{flow.name}: {FLOWS[flow.name].description}" for flow in Flow),
        show_default=False,
    ),
]


@app.command()
@with_request()
def run(flow: FlowArgument, *, request: StudyRequest, as_json: Json = False) -> None:
    """Run a flow here and now; whatever is whole in the store is reused."""
    from flowers17.commands.running import run_flow

    started = time.monotonic()
    try:
        results, counts = run_flow(flow.value, request, console=err)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    page, highlights = _report(request.store, results)
    missing = {label: value["reason"] for label, value in results.items() if "reason" in value}
    if as_json:
        summary: dict[str, Any] = {"flow": flow.value, "counts": counts, "stages": results}
        if page:
            summary |= {"report": str(page), "highlights": highlights}
        print(json.dumps(summary, indent=1, sort_keys=True))
        return
    for reason in dict.fromkeys(missing.values()):
        err.print(f"[yellow]{escape(reason)}[/]", highlight=False, soft_wrap=True)
    err.print(
        f"{counts['built']} stages built, {counts['reused']} cached, {len(missing)} missing "
        f"in {time.monotonic() - started:.1f} s",
        highlight=False,
    )
    for line in highlights:
        ends = "–".join(f"{end:.3f}" for end in line["interval"] or ())
        interval = f", 95 % interval {ends}" if ends else ""
        tag = f" ({line['tag']})" if line["tag"] else ""
        text = (
            f"{line['value']} {line['measure']}{interval}: {line['label']}, {line['detail']}{tag}"
        )
        err.print(text, highlight=False, markup=False, soft_wrap=not err.is_terminal)
    if page:
        print(page)


def _report(
    store: Path | str, results: dict[str, dict[str, Any]]
) -> tuple[Path | None, list[dict[str, Any]]]:
    """Page of a run with its highlights; a whole study's has a path of its own."""
    reports = [value for value in results.values() if value.get("stage") == "study"]
    if not reports:
        return None, []
    artifacts = open_store(store)
    artifact = artifacts.open(Reference.from_json(results.get("report", reports[-1])))
    page = artifacts.root / "report" / "index.html" if "report" in results else None
    return page or artifact.file("index.html"), artifact.json("results").get("highlights", [])


@app.command()
@with_request("profile", "dataset", "seed", "store", "weights_dir", "device", "set")
def plan(flow: FlowArgument, *, request: StudyRequest, as_json: Json = False) -> None:
    """Show what a flow would run or reuse, and which input, setting or code changed."""
    from flowers17.commands.running import show_source, steps_of
    from flowers17.estimates import cost_sentence, rough_duration

    steps = steps_of(flow.value, request)
    show_source(request, err)
    if as_json:
        print(json.dumps([asdict(step) for step in steps], indent=1))
        return
    table = Table("", "stage", "time", "why", box=None, pad_edge=False)
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
    out.print(f"{len(costs)} would run, {len(steps) - len(costs)} would be reused", highlight=False)
    n_workers = request.options.workers if request.options.runner == "processes" else 1
    out.print(cost_sentence(costs, n_workers), highlight=False)


@app.command()
@with_request()
def sweep(
    flow: SweptFlow = own("sweep", "flow", "study"),
    *,
    axis: list[str] | None = own("sweep", "axis"),
    variant: list[str] | None = own("sweep", "variant"),
    plan_only: bool = own("sweep", "plan_only", False),
    request: StudyRequest,
    as_json: Json = False,
    as_csv: bool = own("sweep", "as_csv", False),
) -> None:
    """Run a flow over many settings or seeds, what they share once, and sum the studies up."""
    if as_csv and (as_json or plan_only):
        raise typer.BadParameter("expected --csv without --json or --plan, got both")
    sweep_settings = sweep_from(axis or (), variant or (), flow=flow)
    from flowers17.commands import sweeping

    planned_sweep, plan = sweeping.planned(request, sweep_settings)
    if plan_only and as_json:
        print(json.dumps(asdict(plan), indent=1))
        return
    console = out if plan_only else err
    for name in plan.combinations:
        console.print(f"  {name}", highlight=False, markup=False, soft_wrap=True)
    console.print(plan.sentence, highlight=False, soft_wrap=True)
    if plan_only:
        return
    try:
        result = sweeping.run_sweep(request, sweep_settings, planned_sweep, console=err)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    for title, reason in result["failed"].items():
        err.print(f"[red]failed[/] {escape(f'{title}: {reason}')}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(result, indent=1, sort_keys=True))
    elif as_csv:
        print(sweeping.csv_text(result), end="")
    elif result["summary"]:
        sweeping.show(result["summary"], out)
        print(result["folder"])
    raise typer.Exit(bool(result["failed"]))


@app.command()
def predict(
    images: list[str] | None = own("predict", "images"),
    store: str = option("store"),
    model: str | None = own("predict", "model"),
    by: By = own("predict", "by", By.refit),
    weights_dir: Path | None = option("weights_dir"),
    device: str = option("device"),
    own_learner: OwnLearner = None,
    as_json: bool = own("predict", "as_json", False),
    as_csv: bool = own("predict", "as_csv", False),
    list_models: bool = own("predict", "list_models", False),
) -> None:
    """Tell the class of images by an ensemble, network or classifier of a store."""
    if as_json and as_csv:
        raise typer.BadParameter("expected one of --json and --csv, got both")
    if list_models and (images or model or as_csv):
        raise typer.BadParameter("expected --list without images, --model or --csv, got both")
    if not images and not list_models:
        raise typer.BadParameter("expected images: files, folders, or - for standard input")
    artifacts = existing_store(store)
    from flowers17.commands import predicting

    if list_models:
        models = predicting.models(artifacts)
        if as_json:
            print(json.dumps(models, indent=1))
        else:
            out.listing(predicting.models_table(models))
        return
    try:
        all_used = predicting.predict(
            images or [],
            store=artifacts,
            name=model,
            by=by.value,
            weights_dir=weights_dir,
            device=validated(RunOptions, {"device": device}).device,
            own_learners=own_learner or (),
            form="json" if as_json else "csv" if as_csv else "table",
            err=err,
        )
    except KeyboardInterrupt:
        err.print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if all_used else 1)


@app.command()
def export(
    model: str = own("export", "model", ...),
    to: Path = own("export", "to", ..., callback=expanded),
    store: str = option("store"),
    weights_dir: Path | None = option("weights_dir"),
    device: str = option("device"),
    own_learner: OwnLearner = None,
    as_json: Json = False,
) -> None:
    """Write a model as a file that needs nothing of flowers17, with labels and a model card."""
    artifacts = existing_store(store)
    from flowers17.commands import exporting

    paths = exporting.export(
        model,
        to,
        store=artifacts,
        weights_dir=weights_dir,
        device=validated(RunOptions, {"device": device}).device,
        own_learners=own_learner or (),
        err=err,
    )
    if as_json:
        print(json.dumps([str(path) for path in paths], indent=1))
        return
    for path in paths:
        print(path)


@app.command()
def show(
    artifact: str | None = own("show", "artifact"),
    store: str = option("store"),
    as_json: Json = False,
) -> None:
    """Show artifacts, their metrics and their lineage."""
    from flowers17.commands.showing import artifacts_table, lineage_tree, matching, summary

    manifests = matching(existing_store(store), artifact)
    if as_json:
        rows = manifests if artifact else [summary(manifest) for manifest in manifests]
        print(json.dumps(rows, indent=1))
    elif artifact:
        for manifest in manifests:
            tree = lineage_tree(existing_store(store), manifest)
            out.print(tree, highlight=False, markup=False)
    else:
        out.listing(artifacts_table(manifests))


@app.command()
def compare(
    before: str | None = own("compare", "before"),
    after: str | None = own("compare", "after"),
    store: str = option("store"),
    everything: bool = own("compare", "everything", False),
    html: Path | None = own("compare", "html", callback=expanded),
    as_json: Json = False,
) -> None:
    """Compare two studies: what differs, every metric, and paired tests on the same images."""
    from flowers17.commands import comparing
    from flowers17.reporting.studies.pair import comparison_of, study_pair

    comparison = comparison_of(*study_pair(before, after, store))
    if html:
        from flowers17.reporting.studies import comparison_page

        comparison_page.write(comparison, html)
    if as_json:
        print(json.dumps(comparison, indent=1))
    else:
        comparing.show(comparison, out, everything=everything)


@app.command()
def history(
    metric: str | None = own("history", "metric"),
    store: str = option("store"),
    as_json: Json = False,
) -> None:
    """Show one metric over all studies of a store, and what changed in between."""
    from flowers17.commands.metric_history import listed
    from flowers17.reporting.studies.history import history as history_of
    from flowers17.reporting.studies.history import metrics

    rows = history_of(metric, store) if metric else metrics(store)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        out.listing(listed(rows))


@app.command()
def mlflow(
    study: list[str] | None = own("mlflow", "study"),
    store: str = option("store"),
    to: str | None = own("mlflow", "to"),
    experiment: str = own("mlflow", "experiment", "flowers17"),
    as_json: Json = False,
) -> None:
    """Send studies and their trainings to an MLflow server as runs, each once."""
    from flowers17.commands.mlflow_runs import send

    runs = send(study or (), store, uri=to, experiment=experiment)
    if as_json:
        print(json.dumps([asdict(run) for run in runs], indent=1))
        return
    for run in runs:
        effect = "was there" if run.was_there else f"sent with {run.n_trainings} trainings"
        out.print(f"{run.study}: {effect}, run {run.run}", highlight=False, markup=False)


@app.command()
@with_request("profile")
def settings(*, request: StudyRequest, as_json: Json = False) -> None:
    """List every setting that --set takes, with the profile's value."""
    if as_json:
        print(request.settings.model_dump_json(indent=1))
        return
    table = Table("setting", "value", "meaning", box=None, pad_edge=False)
    for name, value, meaning in setting_rows(request.settings):
        table.add_row(name, escape(str(value)), escape(meaning))
    out.listing(table)


@app.command()
@with_request()
def serve(
    *,
    host: str = own("serve", "host", "127.0.0.1"),
    port: int = own("serve", "port", 4200),
    limit: int | None = own("serve", "limit"),
    request: StudyRequest,
) -> None:
    """Start Prefect's server with its UI, the deployments and a worker; Ctrl-C stops them.

    The options that `run` has too are what the forms in the UI begin with.
    """
    from flowers17.commands.serving import serve as serve_until_stopped

    serve_until_stopped(request, host=host, port=port, limit=limit, console=err)


@app.command()
def site(
    store: str = option("store"),
    host: str = own("serve", "host", "127.0.0.1"),
    port: int = own("serve", "port", 4300),
    weights_dir: Path | None = option("weights_dir"),
    device: str = option("device"),
    own_learner: OwnLearner = None,
) -> None:
    """Serve the pages of a store alone: studies, reports, comparisons, a photograph to try."""
    from flowers17.commands.site_serving import serve_site

    serve_site(
        existing_store(store).address,
        host=host,
        port=port,
        console=err,
        weights_dir=weights_dir,
        device=validated(RunOptions, {"device": device}).device,
        own_learners=tuple(own_learner or ()),
    )


@app.command()
def recover(
    store: str | None = option("store", default=None, show_default="the stores of all runs"),
    resume: bool = own("recover", "resume", True),
    as_json: Json = False,
) -> None:
    """Find runs whose process died, force them to a terminal state, and resume them."""
    from flowers17.commands.running import prepare_for_prefect

    prepare_for_prefect()
    from flowers17.commands.recovery import as_json as json_of
    from flowers17.commands.recovery import recover as recover_runs

    runs = recover_runs(store, resume=resume, console=err)
    if as_json:
        print(json.dumps(json_of(runs), indent=1))
    elif not runs:
        out.print("no dead runs", highlight=False)
    effects = {"worker": "a worker runs it on", "here": "run again here", None: "not resumed"}
    for run in () if as_json else runs:
        line = f"{run.flow} {run.name}: {run.was} → {run.now}, {effects[run.resumed]}"
        line = f"{line}; {run.problem}" if run.problem else line
        out.print(line, highlight=False, markup=False)
    raise typer.Exit(any(run.problem for run in runs))


@app.command()
def gc(
    store: str = option("store"),
    keep_studies: int = own("gc", "keep_studies", 3),
    older_than: float = own("gc", "older_than", 14.0),
    dry_run: bool = own("gc", "dry_run", False),
    as_json: Json = False,
) -> None:
    """Delete artifacts that no kept study needs, and what broken builds left."""
    from flowers17.commands.garbage import expect_no_run, garbage

    artifacts = existing_store(store)
    folders = garbage(artifacts, keep_studies=keep_studies, older_than_days=older_than)
    if not dry_run:
        expect_no_run(artifacts)
        artifacts.discard([folder.path for folder in folders])
    if as_json:
        rows = [{"what": folder.content, "bytes": folder.size} for folder in folders]
        print(json.dumps(rows, indent=1))
        return
    for folder in folders:
        out.print(f"{folder.content} {folder.size / 1e6:.1f} MB", highlight=False, markup=False)
    total = sum(folder.size for folder in folders) / 1e6
    verb = "would go" if dry_run else "deleted"
    out.print(f"{len(folders)} folders, {total:.1f} MB {verb}", highlight=False)
    rule = (
        f"what is younger than {older_than:g} days stays (--older-than), and what is pinned, the "
        f"report that the store shows, and the newest {keep_studies} reports of each flow need "
        "(--keep-studies)"
    )
    out.print(rule, highlight=False, soft_wrap=True)


@app.command()
def pin(
    artifact: str | None = own("pin", "artifact"),
    store: str = option("store"),
    remove: bool = own("pin", "remove", False),
) -> None:
    """Keep an artifact, and all that it was made from, from `gc`; list what is kept so."""
    from flowers17.commands.showing import matching

    artifacts = existing_store(store)
    if artifact:
        manifests = matching(artifacts, artifact)
        names = [f"{manifest['stage']}/{manifest['key']}" for manifest in manifests]
        if len(names) > 1:
            raise InvalidInput(f"{artifact}: expected one artifact, found {len(names)}")
        artifacts.pin(names[0], keep=not remove)
    for name in sorted(artifacts.pinned()):
        out.print(name, highlight=False, markup=False)


@app.command()
def doctor(
    store: str = option("store"),
    weights_dir: Path | None = option("weights_dir"),
    as_json: Json = False,
) -> None:
    """Tell what this machine offers, what is missing, and how to get it."""
    from flowers17.commands.doctor import findings

    rows = findings(store, weights_dir)
    if as_json:
        print(json.dumps([vars(finding) for finding in rows], indent=1))
    else:
        colours = {"ok": "green", "note": "yellow", "missing": "red"}
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in rows:
            state = f"[{colours[finding.state]}]{finding.state}[/]"
            table.add_row(state, finding.subject, escape(finding.says))
        out.listing(table)
    raise typer.Exit(any(finding.state == "missing" for finding in rows))


def setting_rows(model: BaseModel, prefix: str = "") -> list[tuple[str, Any, str]]:
    """Name, value and description of each setting below a model."""
    rows: list[tuple[str, Any, str]] = []
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += setting_rows(value, f"{prefix}{name}.")
        else:
            if isinstance(value, tuple):
                value = ", ".join(getattr(item, "name", str(item)) for item in value)
            rows.append((prefix + name, value, info.description or ""))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors made on purpose are shown without a traceback."""
    if os.environ.get("PREFECT_SERVER_ANALYTICS_ENABLED", "false").lower() in ("false", "0"):
        os.environ.setdefault("DO_NOT_TRACK", "1")  # nor does Prefect say that it would track
    try:
        app(arguments)
    except Flowers17Error as problem:
        err.print(f"[red]error[/] {escape(str(problem))}", highlight=False, soft_wrap=True)
        if problem.details and "--json" in (arguments or sys.argv):
            print(json.dumps({"error": str(problem), **problem.details}, indent=1))
        if isinstance(problem, ServerLost):
            os._exit(1)  # on the way out, Prefect would wait for it again
        sys.exit(2 if isinstance(problem, InvalidInput) else 1)
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        path = escape(short_repr(problem.filename))
        err.print(f"[red]error[/] expected a shorter path, got {path}", highlight=False)
        sys.exit(2)
