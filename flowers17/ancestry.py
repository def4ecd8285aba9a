"""The lineage of an artifact: all that it was made from, by the manifests of a store."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]
ArtifactId = tuple[str, str]  # stage and key


def artifact_id(manifest: Manifest) -> ArtifactId:
    """Stage and key of a manifest, or of a reference to an artifact."""
    return manifest["stage"], manifest["key"]


def by_id(manifests: Iterable[Manifest]) -> dict[ArtifactId, Manifest]:
    """Manifests by stage and key."""
    return {artifact_id(manifest): manifest for manifest in manifests}


def family(manifest: Manifest, known: Mapping[ArtifactId, Manifest]) -> Iterator[Manifest]:
    """Yield a manifest and those of all that it was made from, each once, the nearest first.

    known: of the store, as `by_id` returns them; what is not among them is left out.
    """
    waiting, reached = [manifest], {artifact_id(manifest)}
    while waiting:
        relative = waiting.pop(0)
        yield relative
        for reference in filter(None, relative["inputs"].values()):  # None: it did without
            identity = artifact_id(reference)
            if identity in known and identity not in reached:
                reached.add(identity)
                waiting.append(known[identity])
