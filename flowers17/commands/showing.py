"""Artifacts, their metrics and their lineage, for the terminal."""

from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from flowers17.ancestry import ArtifactId, Manifest, artifact_id, by_id
from flowers17.artifacts import Store, short_name
from flowers17.errors import ArtifactMissing

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
        raise ArtifactMissing(
            f"{store.address}: expected an artifact {artifact!r}, found none; `flowers17 show` "
            "lists what there is"
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


def lineage_tree(store: Store, manifest: Manifest) -> Tree:
    """Tree of an artifact and all that it was made from.

    What several were made from is shown with its own inputs once. Print it without markup.
    """
    root = Tree(_headline(manifest))
    root.add(f"folder {store.location(manifest['stage'], manifest['key'])}")
    root.add(f"made {manifest['created']} in {manifest['duration_s']} s")
    root.add(f"seed {manifest['material']['seed']}")
    _add_values(root, "configuration", manifest["material"]["config"])
    _add_values(root, "metrics", manifest["metrics"])
    _add_values(root, "libraries", manifest["material"]["libraries"])
    _add_values(root, "machine", manifest["machine"])
    files = root.add("files")
    for name, entry in manifest["files"].items():
        files.add(f"{name} {entry['size']} bytes sha256 {entry['sha256'][:12]}…")
    _add_inputs(root, manifest, by_id(store.manifests()))
    return root


def _headline(manifest: Manifest) -> Text:
    place = short_name(manifest["stage"], manifest["key"])
    return Text.assemble((manifest["label"], "bold"), f" {place}")


def _add_values(tree: Tree, title: str, values: dict[str, Any]) -> None:
    branch = tree.add(title)
    for name, value in values.items():
        branch.add(f"{name}: {value}")


def _add_inputs(tree: Tree, manifest: Manifest, known: dict[ArtifactId, Manifest]) -> None:
    waiting, shown = [(tree, manifest, 0)], {artifact_id(manifest)}
    while waiting:
        above, descendant, depth = waiting.pop(0)
        inputs = {name: reference for name, reference in descendant["inputs"].items() if reference}
        if not inputs:
            continue
        branch = above.add("inputs" if depth < DEEPEST else "more inputs")
        for name, reference in inputs.items() if depth < DEEPEST else ():
            identity = artifact_id(reference)
            if identity not in known:
                branch.add(f"{name}: {short_name(*identity)} (no longer in the store)")
            elif identity in shown:
                branch.add(
                    Text.assemble(_headline(known[identity]), " (its inputs: elsewhere here)")
                )
            else:
                shown.add(identity)
                waiting.append((branch.add(_headline(known[identity])), known[identity], depth + 1))
