"""Commands on a store's models and studies, on data, and on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from flowers17.artifacts import Store
from flowers17.commands.options import command, err, out, print_json, show_rows
from flowers17.errors import InvalidInput
from flowers17.request import StudyRequest
from flowers17.shared.store import existing_store

if TYPE_CHECKING:
    from flowers17.prediction.models import Loader


def _loader(store: Store, request: StudyRequest, own_learners: list[str] | None) -> "Loader":
    """Loader of a store's models, with a request's weights and device."""
    from flowers17.prediction.models import Loader

    return Loader(
        store,
        weights_dir=request.weights_dir,
        device=request.device,
        own_learners=own_learners or (),
    )


@command("store", "weights_dir", "device")
def predict(
    images: list[str] | None,
    request: StudyRequest,
    model: str | None,
    by: Literal["refit", "average"],
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
        show_rows(predicting.models(artifacts), as_json, predicting.models_table)
        return
    all_used = predicting.predict(
        images or [],
        _loader(artifacts, request, own_learner),
        name=model,
        by=by,
        form="json" if as_json else "csv" if as_csv else "table",
        err=err,
        coverage=coverage,
    )
    raise typer.Exit(0 if all_used else 1)


@command("store", "weights_dir", "device")
def export(
    model: str, to: Path, request: StudyRequest, own_learner: list[str] | None, as_json: bool
) -> None:
    """Write a model as a file that needs nothing of flowers17, with labels and a model card."""
    artifacts = existing_store(request.store)
    from flowers17.commands import exporting

    loader = _loader(artifacts, request, own_learner)
    paths = exporting.export(model, to, loader=loader, err=err)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        print(*paths, sep="\n")


@command("dataset", "set")
def relabel(
    answers: Path, to: Path, new_class: list[str] | None, request: StudyRequest, as_json: bool
) -> None:
    """Write a person's labels as a data set of its own; the given one stays as it is."""
    from flowers17.commands.relabelling import relabelled

    table = relabelled(request.settings.dataset, answers, to, new_class or (), err)
    if as_json:
        print_json({"table": str(table)})
    else:
        print(table)


@command()
def show(artifact: str | None, store: str, as_json: bool) -> None:
    """Show artifacts, their metrics and their lineage."""
    from flowers17.commands import showing

    artifacts = existing_store(store)
    manifests = showing.matching(artifacts, artifact)
    if as_json:
        print_json(manifests if artifact else list(map(showing.summary, manifests)))
    elif artifact:
        for manifest in manifests:
            for line in showing.lineage_lines(artifacts, manifest):
                out.text_line(line)
    else:
        out.listing(showing.artifacts_table(manifests))


@command()
def compare(
    before: str | None,
    after: str | None,
    store: str,
    everything: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare two studies: what differs, every metric, and paired tests on the same images."""
    from flowers17.commands import showing
    from flowers17.reporting.studies.pair import comparison_of, study_pair, write_page

    comparison = comparison_of(*study_pair(before, after, store))
    if html:
        write_page(comparison, html)
    if as_json:
        print_json(comparison)
    else:
        showing.show_comparison(comparison, out, everything=everything)


@command()
def history(metric: str | None, store: str, as_json: bool) -> None:
    """Show one metric over all studies of a store, and what changed in between."""
    from flowers17.commands.showing import metrics_table
    from flowers17.reporting.studies.history import history as history_of
    from flowers17.reporting.studies.history import metrics

    rows = history_of(metric, store) if metric else metrics(store)
    show_rows(rows, as_json, metrics_table)


@command()
def mlflow(
    study: list[str] | None, store: str, to: str | None, experiment: str, as_json: bool
) -> None:
    """Send studies and their trainings to an MLflow server as runs, each once."""
    from flowers17.commands.mlflow_runs import send

    runs = send(study or (), store, uri=to, experiment=experiment)
    if as_json:
        print_json(runs)
        return
    for run in runs:
        effect = "was there" if run.was_there else f"sent with {run.n_trainings} trainings"
        out.text_line(f"{run.study}: {effect}, run {run.run}")


@command("store", "weights_dir", "device")
def site(host: str, port: int, request: StudyRequest, own_learner: list[str] | None) -> None:
    """Serve the pages of a store alone: studies, reports, comparisons, a photograph to try."""
    from flowers17.commands.serving import serve_site

    serve_site(
        existing_store(request.store).address,
        host=host,
        port=port,
        console=err,
        weights_dir=request.weights_dir,
        device=request.device,
        own_learners=tuple(own_learner or ()),
    )


@command()
def gc(store: str, keep_studies: int, older_than: float, dry_run: bool, as_json: bool) -> None:
    """Delete artifacts that no kept study needs, and what broken builds left."""
    from flowers17.commands import garbage

    artifacts = existing_store(store)
    folders = garbage.garbage(artifacts, keep_studies=keep_studies, older_than_days=older_than)
    if not dry_run:
        garbage.expect_no_run(artifacts)
        artifacts.discard([folder.path for folder in folders])
    if as_json:
        print_json([{"what": folder.content, "bytes": folder.size} for folder in folders])
        return
    for folder in folders:
        out.text_line(f"{folder.content} {folder.size / 1e6:.1f} MB")
    total = sum(folder.size for folder in folders) / 1e6
    verb = "would be deleted" if dry_run else "deleted"
    out.text_line(f"{len(folders)} folders, {total:.1f} MB {verb}")
    out.text_line(
        f"Kept: what is younger than {older_than:g} days (--older-than), what is pinned, and "
        f"what the shown report and the newest {keep_studies} reports of each flow were made from "
        "(--keep-studies)."
    )


@command()
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


@command()
def doctor(store: str, weights_dir: Path | None, as_json: bool) -> None:
    """Tell what this machine offers, what is missing, and how to get it."""
    from flowers17.commands.doctor import findings, listed

    rows = findings(store, weights_dir)
    show_rows(rows, as_json, listed)
    raise typer.Exit(any(finding.state == "missing" for finding in rows))


@command()
def backbones(
    names: list[str] | None,
    measure: bool,
    input_size: int | None,
    weights_dir: Path | None,
    as_json: bool,
) -> None:
    """List pre-trained networks with what they cost, and measure them on this machine."""
    from flowers17.commands.backbones import listed, rows

    networks = rows(names or (), weights_dir, measure=measure, input_size=input_size)
    show_rows(networks, as_json, listed)
