"""Garbage collection: what no kept study needs, and what broken builds left."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flowers17.ancestry import Manifest, Place, by_place, family, place_of
from flowers17.artifacts import MANIFEST, Store, short_name
from flowers17.errors import ArtifactDamaged, StoreUnusable
from flowers17.manifests import read_manifest
from tasks.liveness import living

DAY_S = 24 * 3600.0
WHOLE = "report"  # label of the reports on the whole study


@dataclass(frozen=True)
class Garbage:
    """What nothing kept needs: what it is, its place in the store, and how large in bytes."""

    what: str
    place: str
    size: int


def garbage(store: Store, *, keep_studies: int, older_than_days: float) -> list[Garbage]:
    """Return what may go, oldest first.

    Kept, with everything they were made from: what is pinned, the report whose page stands in
    `report/`, and the newest `keep_studies` reports, where a sweep and all its studies count as
    one, and the reports on a part of the study for themselves. And whatever is younger than
    `older_than_days`, so that a study that was interrupted goes on from there.
    """
    manifests = by_place(store.manifests())
    kept: set[Place] = set()
    for place in (*store.pinned(), *_shown(store)):
        if wanted := manifests.get((place.partition("/")[0], place.partition("/")[2])):
            kept |= {place_of(one) for one in family(wanted, manifests)}
    reports = sorted(
        (one for one in manifests.values() if one["stage"] in ("study", "sweep")),
        key=lambda one: (one["created"], one["stage"]),
        reverse=True,
    )
    n_kept: Counter[str] = Counter()
    for report in reports:
        of = "" if report["label"] == WHOLE or report["stage"] == "sweep" else report["label"]
        if n_kept[of] < keep_studies and place_of(report) not in kept:
            n_kept[of] += 1
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


def expect_no_run(store: Store) -> None:
    """Raise StoreUnusable while a run of this machine works on the store: it may need anything."""
    if runs := living(store):
        raise StoreUnusable(
            f"{store.root}: expected no run at work, found {', '.join(runs)}; gc could delete what "
            "it still needs. Wait for its end, or stop it: the same command goes on later"
        )


def _shown(store: Store) -> Iterator[str]:
    """Yield the place of the report whose page stands in the store's folder."""
    with suppress(FileNotFoundError, ArtifactDamaged):
        shown = read_manifest(store.root / "report" / MANIFEST)
        yield f"{shown['stage']}/{shown['key']}"


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()


def _size(manifest: Manifest) -> int:
    return sum(one["size"] for one in manifest["files"].values())
