"""What `show`, `settings`, `history`, `compare` and `sweep` print; artifacts that a name means."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from flowers17.artifacts import Store, short_name
from flowers17.errors import ArtifactMissing
from flowers17.manifests import Manifest, artifact_id, by_id
from flowers17.materials import flat
from flowers17.reporting.html import environment
from flowers17.reporting.studies.pair import difference_lines, difference_text, few, number_text
from flowers17.reporting.wording import p_text
from flowers17.terminal import Terminal

Row = tuple[str, Sequence[str]]  # a title, and cells
DEEPEST = 40  # levels of lineage that are shown; a study has about ten


def matching(store: Store, artifact: str | None) -> list[Manifest]:
    """Manifests whose `stage/key` begins with a text, or all of them.

    Raises ArtifactMissing if nothing matches.
    """
    manifests: list[Manifest] = list(store.manifests())
    if artifact is None:
        return manifests
    stage, _, key = artifact.partition("/")
    matches = [
        manifest
        for manifest in manifests
        if manifest["stage"] == stage and manifest["key"].startswith(key)
    ]
    if not matches:
        near = get_close_matches(stage, {manifest["stage"] for manifest in manifests}, n=1)
        hint = f"did you mean {near[0]}/{key}? " if near and near[0] != stage else ""
        raise ArtifactMissing(
            f"{store.address}: expected an artifact {artifact!r}, found none; {hint}`flowers17 "
            "show` lists what there is"
        )
    return matches


def summary(manifest: Manifest) -> dict[str, Any]:
    """Facts of an artifact for a list: name, label, time, size in bytes and metrics."""
    return {
        "artifact": short_name(manifest["stage"], manifest["key"]),
        "label": manifest["label"],
        "created": manifest["created"],
        "bytes": sum(entry["size"] for entry in manifest["files"].values()),
        "metrics": manifest["metrics"],
    }


def artifacts_table(manifests: list[Manifest]) -> Table:
    """Table of artifacts, oldest first."""
    table = Table("artifact", "label", "size", "metrics")
    for row in sorted(map(summary, manifests), key=lambda row: row["created"]):
        metrics = ", ".join(f"{name} {value}" for name, value in row["metrics"].items())
        size = f"{row['bytes'] / 1e6:.1f} MB"
        table.add_row(row["artifact"], escape(row["label"]), size, escape(metrics))
    return table


def lineage_lines(store: Store, manifest: Manifest) -> Iterator[str]:
    """Yield lines on an artifact and all that it was made from, indented by what was made of it.

    What several were made from is shown with its own inputs once.
    """
    yield _headline(manifest)
    yield f"  folder {store.location(manifest['stage'], manifest['key'])}"
    yield f"  made {manifest['created']} in {manifest['duration_s']} s"
    yield f"  seed {manifest['material']['seed']}"
    files = {
        name: f"{entry['size']} bytes, sha256 {entry['sha256'][:12]}…"
        for name, entry in manifest["files"].items()
    }
    for title, values in (
        ("configuration", flat(manifest["material"]["config"])),
        ("metrics", manifest["metrics"]),
        ("libraries", manifest["material"]["libraries"]),
        ("machine", manifest["machine"]),
        ("files", files),
    ):
        yield f"  {title}"
        yield from (f"    {name}: {value_text(value)}" for name, value in values.items())
    yield "  inputs"
    known, shown = by_id(store.manifests()), {artifact_id(manifest)}
    waiting = _inputs(manifest, 2)
    while waiting:
        depth, name, reference = waiting.pop()
        identity, indent = artifact_id(reference), "  " * depth
        if identity not in known:
            yield f"{indent}{name}: {short_name(*identity)} (no longer in the store)"
        elif identity in shown:
            yield f"{indent}{_headline(known[identity])} (its inputs: elsewhere here)"
        elif depth > DEEPEST:
            yield f"{indent}{_headline(known[identity])} (its inputs are not shown)"
        else:
            shown.add(identity)
            yield f"{indent}{_headline(known[identity])}"
            waiting += _inputs(known[identity], depth + 1)


def _inputs(manifest: Manifest, depth: int) -> list[tuple[int, str, Manifest]]:
    """Depth, name and reference of each input, the last one first."""
    inputs = reversed(manifest["inputs"].items())
    return [(depth, name, reference) for name, reference in inputs if reference]


def _headline(manifest: Manifest) -> str:
    return f"{manifest['label']} {short_name(manifest['stage'], manifest['key'])}"


def settings_table(model: BaseModel) -> Table:
    """Table of all settings below a model: names, values and what they mean."""
    table = Table("setting", "value", "meaning")
    for name, value, meaning in _settings(model):
        table.add_row(name, escape(value_text(value)), escape(meaning))
    return table


def _settings(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, (info.description or "").replace("`", "")


def value_text(value: Any) -> str:
    """A setting's value in a line: lists with commas, of records their names or their number.

    >>> value_text((1.0, "a")), value_text([{"name": "a"}, {"name": "b"}]), value_text([{}, {}])
    ('1.0, a', 'a, b', '2 entries, which --json shows')
    """
    if not isinstance(value, list | tuple):
        return "none" if value is None else str(value)
    if all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value)) or "none"
    names = [
        item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
        for item in value
    ]
    if all(names):
        return ", ".join(map(str, names))
    n = len(names)
    return f"{n} entr{'ies' if n > 1 else 'y'}, which --json shows"


def metrics_table(rows: list[dict[str, Any]]) -> Table:
    """Table of one metric over all studies, or of all metrics, as rows of `studies.history`."""
    table = Table()
    forms = {"value": number_text, "newest": number_text, "difference": difference_text}
    names = [name for name in (rows or [{}])[0] if name != "results"]
    for name in names:
        title = "changed since the one before of its label" if name == "changed" else name
        table.add_column(title, justify="right" if name in (*forms, "studies") else "left")
    for row in rows:
        table.add_row(*(escape(forms.get(name, str)(row[name])) for name in names))
    return table


def show_comparison(comparison: dict[str, Any], out: Terminal, *, everything: bool = False) -> None:
    """Print a comparison, as `comparison_of` returns it, by the template `comparison.txt`.

    everything: show rows with equal numbers, too, instead of only counting them.
    """
    templates = environment("flowers17.commands", is_html=False)
    templates.filters |= {"difference_lines": difference_lines, "few": few}
    text = templates.get_template("comparison.txt").render(
        comparison=comparison,
        everything=everything,
        columns=_columns,
        metrics_of=_metrics_of,
        tests=[(test["label"], _test_cells(test)) for test in comparison["paired"]["tests"]],
    )
    for line in text.rstrip("\n").split("\n"):
        out.text_line(line.rstrip())


def _metrics_of(table: Mapping[str, Any], rows: Sequence[str]) -> list[Row]:
    return [
        (
            metric["row"],
            (
                metric["name"],
                *(number_text(metric[when]) for when in ("before", "after")),
                difference_text(metric["difference"]),
            ),
        )
        for metric in table["metrics"]
        if metric["row"] in rows
    ]


def _test_cells(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    test = comparison["test"]
    return (
        comparison["split"],
        str(comparison["n_validation"]),
        *(number_text(comparison[when]) for when in ("before", "after")),
        *(str(test[name]) for name in ("n_only_first", "n_only_second")),
        p_text(test["p_value"]),
        p_text(comparison["p_holm"]),
    )


def _columns(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """Cells in columns under what they are of, each title once; nothing without rows."""
    cells = [heads, *(row[1] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines, last = [], ""
    for title, (first, *others) in zip(["", *(row[0] for row in rows)], cells, strict=False):
        if title != last:
            lines.append(f"  {title}")
        numbers = "".join(
            f"  {cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)
        )
        lines.append(f"    {first:{widths[0]}}{numbers}")
        last = title
    return "".join(f"{line}\n" for line in lines)


def show_sweep(summary: dict[str, Any], out: Terminal) -> None:
    """Print what `sweep.json` holds, but for the numbers of single tables."""
    from flowers17.reporting.studies.sweeps import EVERY  # imports pandas

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
