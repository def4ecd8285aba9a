"""Predicting a person's images from the command line: a table, JSON or CSV."""

import csv
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Store, short_name
from flowers17.config import DeviceName
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.models import Loader, MemberModels
from flowers17.prediction.pictures import Refuse, image_paths
from flowers17.prediction.predicting import Prediction, open_model, predictions
from flowers17.terminal import Terminal, escaped, printable

Form = Literal["table", "json", "csv"]
Predictions = Iterable[Prediction]


class Refusals:
    """Tells of what is passed over when it is met, and counts it."""

    def __init__(self, console: Console) -> None:
        self.console, self.n = console, 0

    def __call__(self, problem: str) -> None:
        """Say why something is passed over."""
        self.n += 1
        self.console.print(
            f"[yellow]passed over[/] {escape(problem)}", highlight=False, soft_wrap=True
        )


def predict(
    images: Sequence[str],
    *,
    store: Store,
    name: str | None,
    by: MemberModels,
    weights_dir: Path | None,
    device: DeviceName,
    own_learners: Collection[str] = (),
    form: Form,
    err: Console,
) -> bool:
    """Print what a model says of images; return whether all that was given could be used.

    name: of the model; None: the store's best. Which one it is, and what is passed over and why,
    goes to `err`. own_learners: see `Loader`.
    Raises InvalidInput for an unknown name, ArtifactMissing or ArtifactDamaged if the store lacks
    what the model needs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It warns of every model after the fourth, each of which it traces once.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    catalogue = Catalogue(store)
    entry, why = catalogue.default() if name is None else (catalogue.named(name), "")
    loader = Loader(store, weights_dir=weights_dir, device=device, own_learners=own_learners)
    model = open_model(entry.manifest, loader, by)
    members = ""
    if entry.kind == "ensemble":
        method = str(entry.result["chosen"]["method"]).replace("_", " ")
        how = "refits" if by == "refit" else "averaged fold models"
        members = f", {method} of its members' {how}"
    says = f"model: {entry.name}{members}{why and f' ({why})'}"
    err.print(says, highlight=False, markup=False, soft_wrap=True)
    refusals = Refusals(err)
    paths = image_paths(images, _given_lines(refusals), refusals)
    n_predicted = _PRINTED[form](predictions(model, paths, refusals), model.classes)
    if not n_predicted and not refusals.n:
        refusals("standard input: expected paths of images, one a line, got none")
    if refusals.n:
        err.print(f"{n_predicted} predicted, {refusals.n} passed over", highlight=False)
    return not refusals.n


def _given_lines(refuse: Refuse) -> Iterator[bytes]:
    """Yield the lines of standard input, which is looked at when the first is asked for."""
    if sys.stdin is None:  # closed
        refuse("standard input: expected paths of images, one a line, found it closed")
    else:
        yield from sys.stdin.buffer


def models(store: Store) -> list[dict[str, Any]]:
    """Return what a store can predict with: name, kind, share of images right, artifact, time."""
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "accuracy": one.share,
            "artifact": "/".join(one.place),
            "created": one.manifest["created"],
        }
        for one in Catalogue(store).entries
    ]


def models_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table of what `models` returns."""
    table = Table("model", "kind", "accuracy", "artifact", box=None, pad_edge=False)
    for one in found:
        stage, _, key = one["artifact"].partition("/")
        share = f"{one['accuracy']:.4f}"
        table.add_row(escape(one["name"]), one["kind"], share, short_name(stage, key))
    return table


def as_json(one: Prediction) -> dict[str, Any]:
    """Return what is printed of an image as JSON."""
    name, probability = one.ranked[0]
    return {
        "path": one.path,
        "class": name,
        "probability": probability,
        "probabilities": dict(one.proba),
        "agreement": one.agreement,
    }


def _print_table(found: Predictions, classes: Sequence[str]) -> int:
    table = Table(box=None, pad_edge=False)
    table.add_column("image", overflow="fold")
    for name in ("class", "probability", "second"):
        table.add_column(name, no_wrap=True)
    rows = list(found)
    has_members = any(one.agreement is not None for one in rows)
    if has_members:
        table.add_column("agreement")
    for one in rows:
        (first, probability), (second, other) = one.ranked[:2]
        cells = [escape(printable(one.path)), escape(first), f"{probability:.3f}"]
        cells.append(escape(f"{second} {other:.3f}"))
        table.add_row(*cells, *([f"{one.agreement:.0%}"] if has_members else []))
    if rows:
        Terminal().print(table, highlight=False)
    return len(rows)


def _print_json(found: Predictions, classes: Sequence[str]) -> int:
    return _written(json.dumps(as_json(one)) + "\n" for one in found)


def _print_csv(found: Predictions, classes: Sequence[str]) -> int:
    header = ["path", "class", "probability", "second_class", "agreement", *classes]

    def rows() -> Iterator[str]:
        for one in found:
            (first, probability), (second, _) = one.ranked[:2]
            agreement = "" if one.agreement is None else one.agreement
            texts = [_safe(one.path), _safe(first), probability, _safe(second)]
            yield _csv_line([*texts, agreement, *one.proba.values()])

    _written([_csv_line([_safe(name) for name in header])])
    return _written(rows())


def _csv_line(values: Sequence[object]) -> str:
    """Return a line of CSV; bytes of a path that are no text are escaped, as is what would steer
    a terminal that shows it."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(values)
    text = stream.getvalue().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped(text) if sys.stdout.isatty() else text


def _safe(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _written(lines: Iterable[str]) -> int:
    """Write lines to standard output as they come; return how many."""
    n_lines = 0
    for n_lines, line in enumerate(lines, start=1):  # noqa: B007
        sys.stdout.write(line)
        sys.stdout.flush()
    return n_lines


_PRINTED: MappingProxyType[Form, Callable[[Predictions, Sequence[str]], int]] = MappingProxyType(
    {"table": _print_table, "json": _print_json, "csv": _print_csv}
)
