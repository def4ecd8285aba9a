"""Garbage collection: what no kept study needs, and what broken builds left."""

import time
from dataclasses import dataclass
from datetime import datetime

from flowers17.ancestry import Manifest, Place, by_place, family, place_of
from flowers17.artifacts import Store, short_name

DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Garbage:
    """What nothing kept needs: what it is, its place in the store, and how large in bytes."""

    what: str
    place: str
    size: int


def garbage(store: Store, *, keep_studies: int, older_than_days: float) -> list[Garbage]:
    """Return what may go, oldest first.

    Kept: what is pinned and the newest `keep_studies` reports, with everything they were made from,
    where a sweep and all its studies count as one, and whatever is younger than `older_than_days`,
    so that a study that runs loses nothing.
    """
    manifests = by_place(store.manifests())
    kept: set[Place] = set()
    for place in store.pinned():
        if pinned := manifests.get((place.partition("/")[0], place.partition("/")[2])):
            kept |= {place_of(one) for one in family(pinned, manifests)}
    reports = sorted(
        (one for one in manifests.values() if one["stage"] in ("study", "sweep")),
        key=lambda one: (one["created"], one["stage"]),
        reverse=True,
    )
    for report in reports:
        if keep_studies and place_of(report) not in kept:
            keep_studies -= 1
            kept |= {place_of(one) for one in family(report, manifests)}
    limit = time.time() - older_than_days * DAY_S
    found = [
        (
            created,
            f"{short_name(one['stage'], one['key'])} {one['label']}",
            "/".join(place),
            _size(one),
        )
        for place, one in manifests.items()
        if place not in kept and (created := _seconds(one["created"])) < limit
    ]
    found += [
        (one.changed, one.place.removeprefix(".").replace("/", " ", 1)[:52], one.place, one.size)
        for one in store.leftovers()
        if one.changed < limit
    ]
    return [Garbage(what, place, size) for _, what, place, size in sorted(found)]


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()


def _size(manifest: Manifest) -> int:
    return sum(one["size"] for one in manifest["files"].values())
