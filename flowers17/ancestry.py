"""What an artifact was made from, found in the manifests of a store."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]
Place = tuple[str, str]


def place_of(one: Manifest) -> Place:
    """Return the stage and key of a manifest, or of a reference to one."""
    return one["stage"], one["key"]


def by_place(manifests: Iterable[Manifest]) -> dict[Place, Manifest]:
    """Return manifests by stage and key."""
    return {place_of(one): one for one in manifests}


def family(manifest: Manifest, known: Mapping[Place, Manifest]) -> Iterator[Manifest]:
    """Yield a manifest and those of all that it was made from, each once, the nearest first.

    known: of the store, as `by_place` returns them; what is not among them is left out.
    """
    waiting, seen = [manifest], {place_of(manifest)}
    while waiting:
        one = waiting.pop(0)
        yield one
        for reference in filter(None, one["inputs"].values()):  # None: it did without
            place = place_of(reference)
            if place in known and place not in seen:
                seen.add(place)
                waiting.append(known[place])
