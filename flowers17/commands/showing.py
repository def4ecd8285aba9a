"""Artifacts, their metrics and their lineage, for the terminal."""

from typing import Any

from rich.table import Table
from rich.tree import Tree

from flowers17.artifacts import Store
from flowers17.errors import ArtifactMissing

Manifest = dict[str, Any]


def matching(store: Store, artifact: str | None) -> list[Manifest]:
    """Return the manifests whose `stage/key` begins with a text, or all of them.

    Raises ArtifactMissing if nothing matches.
    """
    found = list(store.manifests())
    if artifact is None:
        return found
    stage, _, key = artifact.partition("/")
    matches = [one for one in found if one["stage"] == stage and one["key"].startswith(key)]
    if not matches:
        raise ArtifactMissing(
            f"{store.address}: expected an artifact {artifact!r}, found none; `flowers17 show` "
            "lists what there is"
        )
    return matches


def summary(manifest: Manifest) -> dict[str, Any]:
    """Return what a list of artifacts says of one."""
    return {
        "artifact": f"{manifest['stage']}/{manifest['key'][:12]}",
        "label": manifest["label"],
        "created": manifest["created"],
        "bytes": sum(entry["size"] for entry in manifest["files"].values()),
        "metrics": manifest["metrics"],
    }


def artifacts_table(manifests: list[Manifest]) -> Table:
    """Return a table of artifacts, oldest first."""
    table = Table(box=None, pad_edge=False)
    for name in ("artifact", "label", "size"):
        table.add_column(name, no_wrap=True)
    table.add_column("metrics")
    for one in sorted((summary(one) for one in manifests), key=lambda one: one["created"]):
        metrics = ", ".join(f"{name} {value}" for name, value in one["metrics"].items())
        size = f"{one['bytes'] / 1e6:.1f} MB"
        table.add_row(one["artifact"], one["label"], size, metrics)
    return table


def lineage_tree(store: Store, manifest: Manifest) -> Tree:
    """Return an artifact with all that it was made from, as a tree."""
    root = Tree(_headline(manifest))
    root.add(f"folder {store.place(manifest['stage'], manifest['key'])}")
    root.add(f"made {manifest['created']} in {manifest['duration_s']} s")
    root.add(f"seed {manifest['material']['seed']}")
    _add_values(root, "configuration", manifest["material"]["config"])
    _add_values(root, "metrics", manifest["metrics"])
    _add_values(root, "libraries", manifest["material"]["libraries"])
    _add_values(root, "machine", manifest["machine"])
    files = root.add("files")
    for name, entry in manifest["files"].items():
        files.add(f"{name} {entry['size']} bytes sha256 {entry['sha256'][:12]}…")
    _add_inputs(root, manifest, {(one["stage"], one["key"]): one for one in store.manifests()})
    return root


def _headline(manifest: Manifest) -> str:
    return f"[bold]{manifest['label']}[/] {manifest['stage']}/{manifest['key'][:12]}"


def _add_values(tree: Tree, title: str, values: dict[str, Any]) -> None:
    branch = tree.add(title)
    for name, value in values.items():
        branch.add(f"{name}: {value}")


def _add_inputs(tree: Tree, manifest: Manifest, known: dict[tuple[str, str], Manifest]) -> None:
    inputs = {name: one for name, one in manifest["inputs"].items() if one}
    branch = tree.add("inputs") if inputs else None
    for name, one in inputs.items():
        found = known.get((one["stage"], one["key"]))
        if branch is None:
            return
        if found is None:
            branch.add(f"{name}: {one['stage']}/{one['key'][:12]} (no longer in the store)")
        else:
            _add_inputs(branch.add(_headline(found)), found, known)
