"""Garbage collection: what no kept study needs, and what broken builds left."""

import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flowers17.ancestry import Place, by_place, family, place_of
from flowers17.artifacts import Store

DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Garbage:
    """A folder that nothing kept needs: what it is, where, and how large in bytes."""

    what: str
    path: Path
    size: int


def garbage(store: Store, *, keep_studies: int, older_than_days: float) -> list[Garbage]:
    """Return what may go, oldest first.

    Kept: the newest `keep_studies` reports with everything they were made from, where a sweep and
    all its studies count as one, and whatever is younger than `older_than_days`, so that a study
    that runs loses nothing.
    """
    manifests = by_place(store.manifests())
    reports = sorted(
        (one for one in manifests.values() if one["stage"] in ("study", "sweep")),
        key=lambda one: (one["created"], one["stage"]),
        reverse=True,
    )
    kept: set[Place] = set()
    for report in reports:
        if keep_studies and place_of(report) not in kept:
            keep_studies -= 1
            kept |= {place_of(one) for one in family(report, manifests)}
    limit = time.time() - older_than_days * DAY_S
    found = [
        (created, f"{one['stage']}/{one['key'][:12]} {one['label']}", store.folder(*place))
        for place, one in manifests.items()
        if place not in kept and (created := _seconds(one["created"])) < limit
    ]
    for folder in (".partial", ".unfinished", ".damaged"):
        found += [
            (path.stat().st_mtime, f"{folder[1:]} {path.name[:40]}", path)
            for path in (store.root / folder).glob("*")
            if path.stat().st_mtime < limit and not store.is_locked(path.name)
        ]
    return [Garbage(what, path, _size(path)) for _, what, path in sorted(found)]


def remove(store: Store, found: list[Garbage]) -> None:
    """Delete the folders; each is moved aside first, so that none is ever half there."""
    with store.guarded_writes():
        trash = store.root / ".partial" / f"gc-{time.time_ns()}"
        trash.mkdir(parents=True)
        for one in found:
            one.path.rename(trash / one.path.name)
        shutil.rmtree(trash)


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
