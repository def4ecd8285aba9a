"""Predicting a person's images from the command line: a table, JSON or CSV."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Store, short_name
from flowers17.errors import Flowers17Error, InvalidInput
from flowers17.prediction.catalogue import Catalogue, Entry
from flowers17.prediction.models import Loader, MemberModels, Prediction, open_model, predictions
from flowers17.prediction.pictures import Refuse, image_paths
from flowers17.reporting.lineage import duration_text
from flowers17.reporting.tables import csv_text
from flowers17.terminal import Terminal, escaped, printable

Form = Literal["table", "json", "csv"]
# By stage, the flow and the setting that fit a network on all images.
_REFITS = {
    "training": ("learners", "learners.refit"),
    "finetuning": ("finetune", "fine_tuning.refit"),
}


def predict(
    images: Sequence[str],
    loader: Loader,
    *,
    name: str | None,
    by: MemberModels,
    form: Form,
    err: Console,
    coverage: float | None = None,
) -> bool:
    """Print the classes of images by a model; return whether every image could be used.

    name: of the model; None: the store's best. Which one it is, and what is passed over and why,
    goes to `err`. coverage: of sets of classes, which are then added.
    Raises InvalidInput for an unknown name, ArtifactMissing or ArtifactDamaged if the store lacks
    what the model needs.
    """
    catalogue = Catalogue(loader.store)
    entry, reason = catalogue.default() if name is None else (catalogue.named(name), "")
    try:
        model = open_model(entry.manifest, loader, by)
    except Flowers17Error as problem:
        if name is None:
            hint = "or name another model with --model: `flowers17 predict --list`"
            problem.args = (f"{problem}; {hint}",)
        raise
    members = ""
    if entry.kind == "ensemble":
        method = str(entry.result["chosen"]["method"]).replace("_", " ")
        members_kind = "refits" if by == "refit" else "averaged fold models"
        members = f", {method} of its members' {members_kind}"
    line = f"model: {entry.name}{members}{reason and f' ({reason})'}"
    err.print(line, highlight=False, markup=False, soft_wrap=True)
    if entry.kind != "ensemble" or by == "refit":
        err.print(f"{_measured(entry)}{_refit_advice(entry)}", highlight=False, soft_wrap=True)
    refusals = []

    def refuse(problem: str) -> None:
        refusals.append(problem)
        line = f"[yellow]passed over[/] {escape(problem)}"
        err.print(line, highlight=False, soft_wrap=True)

    paths = image_paths(images, _input_lines(refuse), refuse)
    if coverage and not model.evidence:
        raise InvalidInput(
            f"coverage: expected a model whose held-out images are known, got {entry.name}; choose "
            "another that `flowers17 predict --list` shows"
        )
    rows = predictions(model, paths, refuse, coverage)
    if form == "table":
        n_predicted = _print_table(rows)
    elif form == "json":
        n_predicted = _written(json.dumps(as_json(row)) + "\n" for row in rows)
    else:
        n_predicted = _written(_csv_lines(rows, model.classes)) - 1
    if not n_predicted and not refusals:
        refuse("standard input: expected paths of images, one a line, got none")
    if refusals:
        err.print(f"{n_predicted} predicted, {len(refusals)} passed over", highlight=False)
    return not refusals


def _input_lines(refuse: Refuse) -> Iterator[bytes]:
    """Yield the lines of standard input, which is looked at when the first is asked for."""
    if sys.stdin is None:  # closed
        refuse("standard input: expected paths of images, one a line, found it closed")
    else:
        yield from sys.stdin.buffer


def _measured(entry: Entry) -> str:
    score, repeats = entry.score, entry.over_clean
    value, on = score.headline, f"on {entry.measured_on}"
    if repeats:
        value, on = repeats.mean, f"over {repeats.n_splits} clean splits, on average"
    return f"{score.measure} {value:.3f} {on}; fitted on {entry.fitted_on}"


def _refit_advice(entry: Entry) -> str:
    """How to fit a network on all images, and about how long that takes; empty for others."""
    flow, setting = _REFITS.get(entry.manifest["stage"], ("", ""))
    if entry.is_of_all or not flow or (entry.result.get("recipe") or {}).get("adversary"):
        return ""
    share = (entry.score.n_train + entry.score.n_validation) / max(1, entry.score.n_train)
    duration = duration_text(float(entry.manifest.get("duration_s") or 0) * share)
    return f"; about {duration} to fit on all: `flowers17 run {flow} --set {setting}=true`"


def models(store: Store) -> list[dict[str, Any]]:
    """Models that a store can predict with: name, kind, measures, artifact, time."""
    return [
        {
            "name": entry.name,
            "kind": entry.kind,
            "accuracy": entry.score.accuracy,
            "balanced_accuracy": entry.score.headline if entry.score.by_class else None,
            "measured_on": entry.measured_on,
            "over_clean_splits": entry.over_clean and entry.over_clean.mean,
            "n_clean_splits": entry.over_clean.n_splits if entry.over_clean else 0,
            "cross_validated": entry.cross_validated,
            "fitted_on": entry.fitted_on,
            "artifact": "/".join(entry.place),
            "created": entry.manifest["created"],
        }
        for entry in Catalogue(store).entries
    ]


def models_table(models: Iterable[Mapping[str, Any]]) -> Table:
    """Table of models, as `models` returns them; accuracies of ensembles are of refitted members.

    Over clean splits is the mean that the report has, which chooses the single model that predicts.
    Cross-validated is an ensemble's share of the images that its members trained on, out of fold:
    it chooses the ensemble that predicts. A measure that no model has gets no column.
    """
    rows = list(models)
    measures = ["accuracy", "balanced_accuracy", "measured_on"]
    measures += ["over_clean_splits", "cross_validated"]
    names = [name for name in measures if any(row[name] is not None for row in rows)]
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True, overflow="fold")
    for name in ("kind", *names, "fitted_on", "artifact"):
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        cells = [row[name] for name in ("name", "kind", *names, "fitted_on")]
        cells = [
            "" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else escape(cell)
            for cell in cells
        ]
        table.add_row(*cells, short_name(*row["artifact"].split("/")))
    return table


def as_json(prediction: Prediction) -> dict[str, Any]:
    """JSON object of an image's prediction."""
    name, probability = prediction.ranked[0]
    return {
        "path": prediction.path,
        "class": name,
        "probability": probability,
        "probabilities": dict(prediction.proba),
        "is_calibrated": prediction.is_calibrated,
        "uncalibrated": dict(prediction.uncalibrated),
        "agreement": prediction.agreement,
        "members": prediction.members,
        "set": prediction.conformal_set,
        "likeness": prediction.likeness
        and {"is_unlike": prediction.likeness.is_unlike, **asdict(prediction.likeness)},
    }


def _print_table(predictions: Iterable[Prediction]) -> int:
    """Print the predictions, paths last and never broken, so that each can be copied."""
    rows = list(predictions)
    has_members = any(row.agreement is not None for row in rows)
    has_sets = any(row.conformal_set for row in rows)
    names = ["class", "probability", "second", *["agreement"] * has_members, *["set"] * has_sets]
    names += ["training images"] * any(row.likeness for row in rows)
    table = Table(*names, box=None)
    table.add_column("image", no_wrap=True)
    for row in rows:
        (first, probability), (second, second_probability) = row.ranked[:2]
        cells = [escape(first), f"{probability:.3f}", escape(f"{second} {second_probability:.3f}")]
        cells += [f"{row.agreement:.0%}"] if has_members else []
        cells += [escape(", ".join(row.conformal_set or ()))] * has_sets
        is_unlike = row.likeness and row.likeness.is_unlike
        cells += ["[yellow]unlike[/]" * bool(is_unlike)] * ("training images" in names)
        table.add_row(*cells, escape(printable(row.path)))
    if rows:
        Terminal().listing(table)
    return len(rows)


def _csv_lines(predictions: Iterable[Prediction], classes: Sequence[str]) -> Iterator[str]:
    heads = ["path", "class", "probability", "second_class", "agreement", "unlike", "set"]
    yield _csv_line([*heads, *classes])
    for prediction in predictions:
        (first, probability), (second, _) = prediction.ranked[:2]
        unlike = prediction.likeness and int(prediction.likeness.is_unlike)
        texts = [prediction.path, first, probability, second, prediction.agreement, unlike]
        members = "; ".join(prediction.conformal_set or ()) or None
        yield _csv_line([*texts, members, *prediction.proba.values()])


def _csv_line(values: Sequence[object]) -> str:
    """Line of CSV; bytes of a path that are no text are escaped, as is what would steer
    a terminal that shows it."""
    _, _, line = csv_text(pd.DataFrame([values], dtype=object)).partition("\n")
    text = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped(text) if sys.stdout.isatty() else text


def _written(lines: Iterable[str]) -> int:
    """Write lines to standard output as they come; returns their number."""
    n_lines = 0
    for n_lines, line in enumerate(lines, start=1):  # noqa: B007
        sys.stdout.write(line)
        sys.stdout.flush()
    return n_lines
