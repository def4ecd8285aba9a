"""Garbage collection: what no kept study needs, and what broken builds left."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flowers17.artifacts import MANIFEST, Store, short_name
from flowers17.errors import ArtifactDamaged, StoreUnusable
from flowers17.manifests import ArtifactId, Manifest, artifact_id, by_id, family, read_manifest
from tasks.liveness import living

DAY_S = 24 * 3600.0
STUDY_REPORT = "report"  # label of a report on all parts


@dataclass(frozen=True, order=True)
class Garbage:
    """A folder that nothing kept needs.

    content: name and label of the artifact, or the kind of leftover. path: below the store's root.
    size: in bytes.
    """

    content: str
    path: str
    size: int


def garbage(store: Store, *, keep_studies: int, older_than_days: float) -> list[Garbage]:
    """Folders that may be deleted, oldest first.

    Kept, with everything they were made from: what is pinned, the report whose page stands in
    `report/`, and the newest `keep_studies` reports, where a sweep and all its studies count as
    one, and the reports on a part of the study for themselves. And whatever is younger than
    `older_than_days`, so that a study that was interrupted goes on from there.
    """
    manifests = by_id(store.manifests())
    retained: set[ArtifactId] = set()
    names = list(store.pinned())
    with suppress(FileNotFoundError, ArtifactDamaged):  # the report whose page is shown
        page = read_manifest(store.root / "report" / MANIFEST)
        names.append(f"{page['stage']}/{page['key']}")
    for name in names:
        stage, _, key = name.partition("/")
        if manifest := manifests.get((stage, key)):
            retained |= _family_ids(manifest, manifests)
    reports = sorted(
        (manifest for manifest in manifests.values() if manifest["stage"] in ("study", "sweep")),
        key=lambda report: (report["created"], report["stage"]),
        reverse=True,
    )
    n_kept: Counter[str] = Counter()
    for report in reports:
        of_all = report["label"] == STUDY_REPORT or report["stage"] == "sweep"
        part = "" if of_all else report["label"]
        if n_kept[part] < keep_studies and artifact_id(report) not in retained:
            n_kept[part] += 1
            retained |= _family_ids(report, manifests)
    limit = time.time() - older_than_days * DAY_S
    dated = []
    for identity, manifest in manifests.items():
        created = datetime.fromisoformat(manifest["created"]).timestamp()
        if identity not in retained and created < limit:
            content = f"{short_name(*identity)} {manifest['label']}"
            size = sum(entry["size"] for entry in manifest["files"].values())
            dated.append((created, Garbage(content, "/".join(identity), size)))
    for leftover in store.leftovers():
        if leftover.changed < limit:
            content = leftover.place.removeprefix(".").replace("/", " ", 1)[:52]
            dated.append((leftover.changed, Garbage(content, leftover.place, leftover.size)))
    return [folder for _, folder in sorted(dated)]


def _family_ids(manifest: Manifest, manifests: Mapping[ArtifactId, Manifest]) -> set[ArtifactId]:
    return {artifact_id(relative) for relative in family(manifest, manifests)}


def expect_no_run(store: Store) -> None:
    """Raise StoreUnusable while a run of this machine works on the store: it may need anything."""
    if runs := living(store):
        raise StoreUnusable(
            f"{store.root}: expected no run at work, found {', '.join(runs)}; gc could delete what "
            "it still needs. Wait until it ends, or stop it; it can be continued later"
        )
