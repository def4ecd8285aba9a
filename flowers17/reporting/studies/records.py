"""The studies of a store, or of a single `results.json`: what each holds, found by name.

Only manifests are read, and single files, each checked against the digest in its manifest; nothing
is written, and nothing damaged is set aside.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from flowers17.ancestry import ArtifactId, Manifest, by_id
from flowers17.artifacts import MANIFEST, Artifact, Store, short_name
from flowers17.digests import read_sha256
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.manifests import bounded, read_manifest
from flowers17.shared.store import existing_store

RESULTS = "results.json"


@dataclass(frozen=True)
class Study:
    """A study: its `results.json`, its manifest (empty of a lone file), its store's manifests."""

    path: Path
    manifest: Manifest = field(default_factory=dict, repr=False)
    known: Mapping[ArtifactId, Manifest] = field(default_factory=dict, repr=False)
    store: Store | None = field(default=None, repr=False, compare=False)

    @property
    def title(self) -> str:
        """How people find it again: `study/KEY`, or the path of its file."""
        key = self.manifest.get("key")
        return short_name("study", key) if key else str(self.path)

    @property
    def label(self) -> str:
        """Which parts it has, e.g. `report on features`; empty of a lone file."""
        return str(self.manifest.get("label", ""))

    @property
    def created(self) -> str:
        """When it was made; empty of a lone file."""
        return str(self.manifest.get("created", ""))

    @cached_property
    def parts(self) -> dict[str, Manifest]:
        """The manifests, by label, of all that it was made from and that is still there."""
        found = {name: self.made(one) for name, one in self._inputs.items()}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def gone(self) -> list[str]:
        """The labels of what it was made from and the store no longer holds."""
        return sorted(set(self._inputs) - set(self.parts))

    @property
    def _inputs(self) -> dict[str, Manifest]:
        return {name: one for name, one in self.manifest.get("inputs", {}).items() if one}

    def made(self, reference: Manifest) -> Manifest | None:
        """Return the manifest of a reference; None if the store holds none of that content."""
        found = self.known.get((reference["stage"], reference["key"]))
        return found if found and found["digest"] == reference["digest"] else None

    def array(self, part: Manifest, name: str) -> np.ndarray:
        """Return the array that a part holds as `<name>.npy`; raises ArtifactDamaged."""
        return self._artifact(part, f"{name}.npy").array(name)

    def json(self, part: Manifest, name: str) -> Any:
        """Return the value that a part holds as `<name>.json`; raises ArtifactDamaged."""
        return self._artifact(part, f"{name}.json").json(name)

    def file(self, name: str) -> Path:
        """Return the path of one of its own files; raises ArtifactDamaged."""
        return _file_of(self._folder(self.manifest), self.manifest, name)

    def _artifact(self, part: Manifest, name: str) -> Artifact:
        """Return a part, of which only one file is known to be as published."""
        return Artifact(_file_of(self._folder(part), part, name).parents[name.count("/")], part)

    def _folder(self, part: Manifest) -> Path:
        store = self.store or Store(self.path.parents[2])
        return store.local_folder(part["stage"], part["key"])

    @cached_property
    def results(self) -> dict[str, Any]:
        """What its `results.json` holds.

        Raises ArtifactDamaged if the file is not as published, InvalidInput if it is of another
        format or no `results.json` at all.
        """
        if self.manifest:
            _file_of(self._folder(self.manifest), self.manifest, RESULTS)
        return _read_results(self.path)


def _file_of(folder: Path, manifest: Manifest, name: str) -> Path:
    """Return the path of an artifact's file; raises ArtifactDamaged unless it is as published."""
    path = folder / name
    try:
        same = read_sha256(path) == manifest["files"][name]["sha256"]
    except (OSError, KeyError, TypeError):
        same = False
    if not same:
        raise ArtifactDamaged(
            f"{path}: expected the bytes that were published, found others or none; run the study "
            "again to build it anew"
        )
    return path


def _read_results(path: Path) -> dict[str, Any]:
    from flowers17.reporting.results import FORMAT  # with SciPy, which a history does without

    def refused(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    try:
        found = bounded(json.loads(path.read_bytes(), parse_constant=refused))
    except (OSError, ValueError, RecursionError) as problem:
        raise InvalidInput(f"{path}: expected JSON as a study writes it, got {problem}") from None
    made = found.get("format") if isinstance(found, dict) else None
    if made != FORMAT:
        raise InvalidInput(
            f"{path}: expected a study of format {FORMAT}, got {made}; run the study again with "
            "this version of flowers17"
        )
    try:
        for table in found["tables"].values():
            _ = table["title"], [cell["value"] for row in table["rows"] for cell in _cells(row)]
        _ = found["data"]["digest"], found["data"]["source"], found["settings"]["seed"]
    except (KeyError, TypeError, AttributeError) as problem:
        raise InvalidInput(
            f"{path}: expected a study's settings, data and tables, could not read {problem}; give "
            "a results.json that flowers17 wrote"
        ) from None
    return dict(found)


def _cells(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return list(row["cells"].values())


def studies_in(address: Path | str) -> list[Study]:
    """Return the studies of a store, oldest first; raises InvalidInput if there is none."""
    store = existing_store(address)
    known = by_id(store.manifests())
    made = [one for (stage, _), one in known.items() if stage == "study"]
    made.sort(key=lambda one: (one["created"], one["key"]))
    return [Study(store.folder("study", one["key"]) / RESULTS, one, known, store) for one in made]


def named_study(name: str, store: Path | str) -> Study:
    """Return the study of a name: STAGE/KEY, a store (its newest), or a `results.json`.

    STAGE/KEY is looked for in `store`, its key shortened or not.
    Raises ArtifactMissing if there is none, ArtifactDamaged if the file is not as published,
    InvalidInput for an ambiguous key, another stage, or what is none of the three.
    """
    stage, _, key = name.partition("/")
    if stage == "study" and re.fullmatch(r"[0-9a-f]+", key):
        return _by_key(key, store)
    if "://" in name:
        return newest(studies_in(name), name)
    try:
        found = _at(Path(name).expanduser())
    except (OSError, RuntimeError):  # no path at all: too long, of an unknown user
        found = None
    if found:
        return found
    if re.fullmatch(r"\w+/[0-9a-f]+", name):
        raise InvalidInput(f"{name}: expected an artifact of stage 'study', got one of {stage!r}")
    raise InvalidInput(
        f"{name}: expected study/KEY, the folder of another store, or a results.json, found none "
        "of them; `flowers17 show` lists what there is"
    )


def _at(path: Path) -> Study | None:
    for one in (path, path / RESULTS):
        if one.is_file():
            return _of_file(one.absolute())
    return newest(studies_in(path), path) if path.is_dir() else None


def newest(studies: Sequence[Study], store: Path | str, label: str | None = None) -> Study:
    """Return the newest study, of a label if one is given; raises ArtifactMissing without any."""
    found = [one for one in studies if label in (None, one.label)]
    if not found:
        what = "a study" if label is None else f"a study {label!r}"
        raise ArtifactMissing(f"{store}: expected {what}, found none; run `flowers17 run study`")
    return found[-1]


def _by_key(key: str, store: Path | str) -> Study:
    found = [one for one in studies_in(store) if one.manifest["key"].startswith(key)]
    if not found:
        raise ArtifactMissing(
            f"{store}: expected an artifact 'study/{key}', found none; `flowers17 show` lists what "
            "there is"
        )
    if len(found) > 1:
        keys = ", ".join(f"study/{one.manifest['key'][: len(key) + 8]}" for one in found)
        raise InvalidInput(f"study/{key}: expected one study, found {keys}; give more of the key")
    return found[0]


def _of_file(path: Path) -> Study:
    """Return the study that a file is of: with its manifest, if that lies beside it in a store."""
    if not os.path.lexists(path.parent / MANIFEST):
        return Study(path)
    beside = read_manifest(path.parent / MANIFEST)
    key = beside["key"]
    _file_of(path.parent, beside, path.name)
    # An artifact lies two folders below its store, the exported report one.
    for root in path.parents[1:3]:
        if (root / "study" / key).is_dir():
            return _by_key(key, root)
    return Study(path)
