"""The command `flowers17`: run, plan, sweep, predict, show, compare, serve, recover and others.

Exit codes: 0 done; 1 a stage failed or something needs attention; 2 a wrong option, setting or
input. One long module, since the options of all commands stand together; what they do is in
`commands`.
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
from flowers17.config import Places
from flowers17.config.places import store_address
from flowers17.errors import Flowers17Error, InvalidInput, ServerLost, short_repr
from flowers17.interrupts import INTERRUPTED
from flowers17.profiles import PROFILES
from flowers17.request import StudyRequest, request_from, validated
from flowers17.shared.store import existing_store, open_store
from flowers17.sweeps.settings import SweptFlow, sweep_from
from flowers17.terminal import Terminal
from flows.listing import FLOWS

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


def _expanded(path: Any) -> Any:
    """Return an option's path with its ~ replaced, which shells leave there behind `=`."""
    if not str(path).startswith("~"):
        return path
    try:
        return type(path)(Path(path).expanduser())
    except RuntimeError:
        raise typer.BadParameter(
            f"expected a path below the home of a user that is known, got {short_repr(str(path))}"
        ) from None


FlowArgument = Annotated[
    Flow,
    typer.Argument(
        help="\n\n".join(f"{flow.name}: {FLOWS[flow.name].description}" for flow in Flow),
        show_default=False,
    ),
]
Profile = Annotated[str, typer.Option(help=f"one of {', '.join(PROFILES)}")]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="rendered, oxford17, or the path of an archive or of a folder of class folders",
        show_default="the profile's",
        callback=_expanded,
    ),
]
StoreOption = Annotated[
    str, typer.Option(help="folder of the store, or s3://bucket/prefix", callback=_expanded)
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        help="folder with extractor weights", show_default="Keras's download", callback=_expanded
    ),
]
Runner = Annotated[str, typer.Option(help="local (one stage at a time), processes, or ray")]
Device = Annotated[str, typer.Option(help="what trains: auto, cpu or gpu")]
TensorBoard = Annotated[
    Path | None,
    typer.Option(help="folder for TensorBoard's logs", show_default="none", callback=_expanded),
]
Workers = Annotated[int, typer.Option(help="stages at a time under the runner processes")]
RayAddress = Annotated[
    str,
    typer.Option(help="runner ray: host:port of a cluster that this machine belongs to, or auto"),
]
GpusPerTraining = Annotated[
    float, typer.Option(help="runner ray: GPUs of a stage that uses one; 0.5: two share one")
]
CpusPerStage = Annotated[
    int, typer.Option(help="runner ray: processors that a node must have free for a stage")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a setting; may be repeated"),
]
OwnLearner = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="a function of yours that the model's networks are built by, and that may be run; "
        "may be repeated",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]


@app.command()
def run(
    flow: FlowArgument,
    profile: Profile = "demo",
    dataset: Dataset = None,
    store: StoreOption = "store",
    weights_dir: WeightsDir = None,
    runner: Runner = "local",
    workers: Workers = 2,
    ray_address: RayAddress = "auto",
    gpus_per_training: GpusPerTraining = 1.0,
    cpus_per_stage: CpusPerStage = 1,
    device: Device = "auto",
    tensorboard: TensorBoard = None,
    set: Set = None,
    as_json: Json = False,
) -> None:
    """Run a flow here and now; whatever is whole in the store is reused."""
    request = placed_request(
        set,
        profile=profile,
        dataset=dataset,
        store=store,
        weights_dir=weights_dir,
        runner=runner,
        workers=workers,
        ray_address=ray_address,
        gpus_per_training=gpus_per_training,
        cpus_per_stage=cpus_per_stage,
        device=device,
        tensorboard=tensorboard,
    )
    from flowers17.commands.running import run_flow

    started = time.monotonic()
    try:
        results, counts = run_flow(flow.value, request, console=err)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    report = _report(request.store, results)
    missing = {label: value["reason"] for label, value in results.items() if "reason" in value}
    if as_json:
        summary = {"flow": flow.value, "counts": counts, "stages": results}
        if report:
            summary["report"] = str(report)
        print(json.dumps(summary, indent=1, sort_keys=True))
        return
    for reason in dict.fromkeys(missing.values()):
        err.print(f"[yellow]{escape(reason)}[/]", highlight=False, soft_wrap=True)
    err.print(
        f"{counts['built']} stages built, {counts['reused']} cached, {len(missing)} missing "
        f"in {time.monotonic() - started:.1f} s",
        highlight=False,
    )
    if report:
        print(report)


def _report(store: Path | str, results: dict[str, dict[str, Any]]) -> Path | None:
    """Return the page of a run: a whole study's has a name, a part's lies among the artifacts."""
    if "report" in results:
        return open_store(store).root / "report" / "index.html"
    pages = [value for value in results.values() if value.get("stage") == "study"]
    if not pages:
        return None
    return open_store(store).open(Reference.from_json(pages[-1])).file("index.html")


@app.command()
def plan(
    flow: FlowArgument,
    profile: Profile = "demo",
    dataset: Dataset = None,
    store: StoreOption = "store",
    weights_dir: WeightsDir = None,
    device: Device = "auto",
    set: Set = None,
    as_json: Json = False,
) -> None:
    """Show what a flow would run or reuse, and which input, setting or code changed."""
    request = request_from(
        set or (),
        profile=profile,
        dataset=dataset,
        store=store,
        weights_dir=weights_dir,
        device=device,
    )
    from flowers17.commands.running import steps_of

    steps = steps_of(flow.value, request)
    if as_json:
        print(json.dumps([vars(step) for step in steps], indent=1))
        return
    table = Table("", "stage", "why", box=None, pad_edge=False)
    for step in steps:
        colour = "green" if step.action == "run" else "cyan"
        why = [] if step.action == "reuse" else list(step.why[:MOST_REASONS])
        if why and len(step.why) > len(why):
            why.append(f"and {len(step.why) - len(why)} more (--json)")
        table.add_row(f"[{colour}]{step.action}[/]", escape(step.label), escape("; ".join(why)))
    out.print(table)
    n_run = sum(step.action == "run" for step in steps)
    out.print(f"{n_run} would run, {len(steps) - n_run} would be reused", highlight=False)


@app.command()
def sweep(
    flow: Annotated[SweptFlow, typer.Argument(help="what each combination runs")] = "study",
    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=[VALUE, …]", help="values of a setting; all axes are combined with all"
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="{KEY: VALUE, …}",
            help="settings that belong together; each variant meets all values of the axes",
        ),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="only show what would run or be reused")
    ] = False,
    profile: Profile = "demo",
    dataset: Dataset = None,
    store: StoreOption = "store",
    weights_dir: WeightsDir = None,
    runner: Runner = "local",
    workers: Workers = 2,
    ray_address: RayAddress = "auto",
    gpus_per_training: GpusPerTraining = 1.0,
    cpus_per_stage: CpusPerStage = 1,
    device: Device = "auto",
    tensorboard: TensorBoard = None,
    set: Set = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print the metrics as CSV")] = False,
) -> None:
    """Run a flow over many settings or seeds, what they share once, and sum the studies up."""
    if as_csv and (as_json or plan_only):
        raise typer.BadParameter("expected --csv without --json or --plan, got both")
    request = placed_request(
        set,
        profile=profile,
        dataset=dataset,
        store=store,
        weights_dir=weights_dir,
        runner=runner,
        workers=workers,
        ray_address=ray_address,
        gpus_per_training=gpus_per_training,
        cpus_per_stage=cpus_per_stage,
        device=device,
        tensorboard=tensorboard,
    )
    over = sweep_from(axis or (), variant or (), flow=flow)
    from flowers17.commands import sweeping

    chosen, plan = sweeping.planned(request, over)
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
        found = sweeping.run_sweep(request, over, chosen, console=err)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        raise typer.Exit(INTERRUPTED) from None
    for title, reason in found["failed"].items():
        err.print(f"[red]failed[/] {escape(f'{title}: {reason}')}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(found, indent=1, sort_keys=True))
    elif as_csv:
        print(sweeping.csv_text(found), end="")
    elif found["summary"]:
        sweeping.show(found["summary"], out)
        print(found["folder"])
    raise typer.Exit(bool(found["failed"]))


@app.command()
def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            help="files, folders with all below them, or - for paths on standard input",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = "store",
    model: Annotated[
        str | None,
        typer.Option(help="a name that --list shows, or STAGE/KEY", show_default="the best"),
    ] = None,
    by: Annotated[
        By, typer.Option(help="an ensemble's members: their refits, or averaged fold models")
    ] = By.refit,
    weights_dir: WeightsDir = None,
    device: Device = "auto",
    own_learner: OwnLearner = None,
    as_json: Annotated[bool, typer.Option("--json", help="a JSON object an image, a line")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, a line an image")] = False,
    list_models: Annotated[
        bool, typer.Option("--list", help="only list what the store can predict with")
    ] = False,
) -> None:
    """Tell the class of images by an ensemble, network or classifier of a store."""
    if as_json and as_csv:
        raise typer.BadParameter("expected one of --json and --csv, got both")
    if list_models and (images or model or as_csv):
        raise typer.BadParameter("expected --list without images, --model or --csv, got both")
    if not images and not list_models:
        raise typer.BadParameter("expected images: files, folders, or - for standard input")
    place = existing_store(store)
    from flowers17.commands import predicting

    if list_models:
        found = predicting.models(place)
        if as_json:
            print(json.dumps(found, indent=1))
        else:
            out.print(predicting.models_table(found), highlight=False)
        return
    try:
        all_used = predicting.predict(
            images or [],
            store=place,
            name=model,
            by=by.value,
            weights_dir=weights_dir,
            device=validated(Places, {"device": device}).device,
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
    model: Annotated[str, typer.Argument(help="a model that predict --list shows, or STAGE/KEY")],
    to: Annotated[
        Path,
        typer.Option(help="the file to write; it ends in .keras or .onnx", callback=_expanded),
    ],
    store: StoreOption = "store",
    weights_dir: WeightsDir = None,
    device: Device = "auto",
    own_learner: OwnLearner = None,
    as_json: Json = False,
) -> None:
    """Write a model as a file that needs nothing of flowers17, with labels and a model card."""
    place = existing_store(store)
    from flowers17.commands import exporting

    written = exporting.export(
        model,
        to,
        store=place,
        weights_dir=weights_dir,
        device=validated(Places, {"device": device}).device,
        own_learners=own_learner or (),
        err=err,
    )
    if as_json:
        print(json.dumps([str(path) for path in written], indent=1))
        return
    for path in written:
        print(path)


@app.command()
def show(
    artifact: Annotated[
        str | None,
        typer.Argument(help="STAGE/KEY, the key may be shortened; without it: all artifacts"),
    ] = None,
    store: StoreOption = "store",
    as_json: Json = False,
) -> None:
    """Show artifacts, their metrics and their lineage."""
    from flowers17.commands.showing import artifacts_table, lineage_tree, matching, summary

    manifests = matching(existing_store(store), artifact)
    if as_json:
        print(json.dumps(manifests if artifact else [summary(one) for one in manifests], indent=1))
    elif artifact:
        for manifest in manifests:
            tree = lineage_tree(existing_store(store), manifest)
            out.print(tree, highlight=False, markup=False)
    else:
        out.print(artifacts_table(manifests), highlight=False, markup=False)


@app.command()
def compare(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="A",
            help="study/KEY, the folder of another store (its newest study), or a results.json",
            show_default="the one before B with its label",
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(metavar="B", help="the same", show_default="the newest of the store"),
    ] = None,
    store: StoreOption = "store",
    everything: Annotated[bool, typer.Option("--all", help="rows with equal numbers too")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="write a page for a browser there as well", callback=_expanded
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two studies: what differs, every metric, and paired tests on the same images."""
    from flowers17.commands import comparing

    found = comparing.compared(*comparing.chosen(before, after, store))
    if html:
        from flowers17.commands import comparison_page

        comparison_page.write(found, html)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        comparing.show(found, out, everything=everything)


@app.command()
def history(
    metric: Annotated[
        str, typer.Argument(help="a metric of studies, as `show` lists them", show_default=False)
    ],
    store: StoreOption = "store",
    as_json: Json = False,
) -> None:
    """Show one metric over all studies of a store, and what changed in between."""
    from flowers17.commands import metric_history

    rows = metric_history.history(metric, store)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        out.print(metric_history.history_table(rows), highlight=False)


@app.command()
def mlflow(
    study: Annotated[
        list[str] | None,
        typer.Argument(
            help="study/KEY, or the folder of another store", show_default="all of the store"
        ),
    ] = None,
    store: StoreOption = "store",
    to: Annotated[
        str | None,
        typer.Option(help="address of the MLflow server", show_default="MLFLOW_TRACKING_URI"),
    ] = None,
    experiment: Annotated[str, typer.Option(help="made if there is none")] = "flowers17",
    as_json: Json = False,
) -> None:
    """Send studies and their trainings to an MLflow server as runs, each once."""
    from flowers17.commands.mlflow_runs import send

    sent = send(study or (), store, uri=to, experiment=experiment)
    if as_json:
        print(json.dumps([asdict(one) for one in sent], indent=1))
        return
    for one in sent:
        how = "was there" if one.was_there else f"sent with {one.n_trainings} trainings"
        out.print(f"{one.study}: {how}, run {one.run}", highlight=False, markup=False)


@app.command()
def settings(profile: Profile = "demo", as_json: Json = False) -> None:
    """List every setting that --set takes, with the profile's value."""
    request = request_from(profile=profile)
    if as_json:
        print(request.settings.model_dump_json(indent=1))
        return
    table = Table("setting", "value", "meaning", box=None, pad_edge=False)
    for name, value, meaning in setting_rows(request.settings):
        table.add_row(name, str(value), meaning)
    out.print(table, highlight=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen at")] = 4200,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="runs at a time on this worker", show_default="the work pool's"),
    ] = None,
    profile: Profile = "demo",
    dataset: Dataset = None,
    store: StoreOption = "store",
    weights_dir: WeightsDir = None,
    runner: Runner = "local",
    workers: Workers = 2,
    ray_address: RayAddress = "auto",
    gpus_per_training: GpusPerTraining = 1.0,
    cpus_per_stage: CpusPerStage = 1,
    device: Device = "auto",
    tensorboard: TensorBoard = None,
    set: Set = None,
) -> None:
    """Start Prefect's server with its UI, the deployments and a worker; Ctrl-C stops them.

    The options that `run` has too are what the forms in the UI begin with.
    """
    request = placed_request(
        set,
        profile=profile,
        dataset=dataset,
        store=store,
        weights_dir=weights_dir,
        runner=runner,
        workers=workers,
        ray_address=ray_address,
        gpus_per_training=gpus_per_training,
        cpus_per_stage=cpus_per_stage,
        device=device,
        tensorboard=tensorboard,
    )
    from flowers17.commands.serving import serve as serve_until_stopped

    serve_until_stopped(request, host=host, port=port, limit=limit, console=err)


@app.command()
def recover(
    store: Annotated[
        str | None,
        typer.Option(
            help="folder or address of a store",
            show_default="the stores of all runs",
            callback=_expanded,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="run dead runs on, or only end them")
    ] = True,
    as_json: Json = False,
) -> None:
    """Find runs whose process died, force them to a terminal state, and resume them."""
    from flowers17.commands.running import prepare_for_prefect

    prepare_for_prefect()
    from flowers17.commands.recovery import as_json as plain
    from flowers17.commands.recovery import recover as recover_runs

    done = recover_runs(store, resume=resume, console=err)
    if as_json:
        print(json.dumps(plain(done), indent=1))
    elif not done:
        out.print("no dead runs", highlight=False)
    for one in () if as_json else done:
        how = {"worker": "a worker runs it on", "here": "run again here", None: "not resumed"}
        says = f"{one.flow} {one.name}: {one.was} → {one.now}, {how[one.resumed]}"
        says = f"{says}; {one.problem}" if one.problem else says
        out.print(says, highlight=False, markup=False)
    raise typer.Exit(any(one.problem for one in done))


@app.command()
def gc(
    store: StoreOption = "store",
    keep_studies: Annotated[
        int, typer.Option(min=0, help="newest reports kept whole, of each flow")
    ] = 3,
    older_than: Annotated[
        float,
        typer.Option(
            min=0, help="days; what is younger stays, so that interrupted studies can go on"
        ),
    ] = 14.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    as_json: Json = False,
) -> None:
    """Delete artifacts that no kept study needs, and what broken builds left."""
    from flowers17.commands.collecting import expect_no_run, garbage

    place = existing_store(store)
    found = garbage(place, keep_studies=keep_studies, older_than_days=older_than)
    if not dry_run:
        expect_no_run(place)
        place.discard([one.place for one in found])
    if as_json:
        print(json.dumps([{"what": one.what, "bytes": one.size} for one in found], indent=1))
        return
    for one in found:
        out.print(f"{one.what} {one.size / 1e6:.1f} MB", highlight=False, markup=False)
    total = sum(one.size for one in found) / 1e6
    verb = "would go" if dry_run else "deleted"
    out.print(f"{len(found)} folders, {total:.1f} MB {verb}", highlight=False)


@app.command()
def pin(
    artifact: Annotated[
        str | None, typer.Argument(metavar="STAGE/KEY", show_default="list what is pinned")
    ] = None,
    store: StoreOption = "store",
    remove: Annotated[bool, typer.Option("--remove", help="let gc delete it again")] = False,
) -> None:
    """Keep an artifact, and all that it was made from, from `gc`; list what is kept so."""
    from flowers17.commands.showing import matching

    place = existing_store(store)
    if artifact:
        names = [f"{one['stage']}/{one['key']}" for one in matching(place, artifact)]
        if len(names) > 1:
            raise InvalidInput(f"{artifact}: expected one artifact, found {len(names)}")
        place.pin(names[0], keep=not remove)
    for name in sorted(place.pinned()):
        out.print(name, highlight=False, markup=False)


@app.command()
def doctor(
    store: StoreOption = "store", weights_dir: WeightsDir = None, as_json: Json = False
) -> None:
    """Tell what this machine offers, what is missing, and how to get it."""
    from flowers17.commands.doctor import findings

    found = findings(store, weights_dir)
    if as_json:
        print(json.dumps([vars(one) for one in found], indent=1))
    else:
        colours = {"ok": "green", "note": "yellow", "missing": "red"}
        table = Table(box=None, show_header=False, pad_edge=False)
        for one in found:
            table.add_row(f"[{colours[one.state]}]{one.state}[/]", one.subject, escape(one.says))
        out.print(table, highlight=False)
    raise typer.Exit(any(one.state == "missing" for one in found))


def placed_request(set: list[str] | None, *, dataset: str | None, **options: Any) -> StudyRequest:
    """Return what options ask for, paths made absolute: the run can be resumed from anywhere."""
    if dataset and dataset not in ("rendered", "oxford17"):
        dataset = str(Path(dataset).absolute())
    options["store"] = store_address(options["store"])
    options = {
        name: value.absolute() if isinstance(value, Path) else value
        for name, value in options.items()
    }
    return request_from(set or (), dataset=dataset, **options)


def setting_rows(model: BaseModel, prefix: str = "") -> list[tuple[str, Any, str]]:
    """Return name, value and description of each setting below a model."""
    rows: list[tuple[str, Any, str]] = []
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += setting_rows(value, f"{prefix}{name}.")
        else:
            if isinstance(value, tuple):
                value = "\n".join(getattr(one, "name", str(one)) for one in value)
            rows.append((prefix + name, value, info.description or ""))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors made on purpose are shown without a traceback."""
    try:
        app(arguments)
    except Flowers17Error as problem:
        err.print(f"[red]error[/] {escape(str(problem))}", highlight=False, soft_wrap=True)
        if isinstance(problem, ServerLost):
            os._exit(1)  # on the way out, Prefect would wait for it again
        sys.exit(2 if isinstance(problem, InvalidInput) else 1)
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        path = escape(short_repr(problem.filename))
        err.print(f"[red]error[/] expected a shorter path, got {path}", highlight=False)
        sys.exit(2)
