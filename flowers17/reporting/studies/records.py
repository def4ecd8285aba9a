"""Studies of a store, or of a single `results.json`: their contents, and look-up by name.

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

from flowers17.artifacts import MANIFEST, Artifact, Store, short_name
from flowers17.digests import read_sha256
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.manifests import ArtifactId, Manifest, bounded, by_id, read_manifest
from flowers17.shared.store import existing_store

RESULTS, FORMAT = "results.json", 1


@dataclass(frozen=True)
class Study:
    """A study: its `results.json`, its manifest (empty of a lone file), its store's manifests."""

    path: Path
    manifest: Manifest = field(default_factory=dict, repr=False)
    manifests: Mapping[ArtifactId, Manifest] = field(default_factory=dict, repr=False)
    store: Store | None = field(default=None, repr=False, compare=False)

    @property
    def title(self) -> str:
        """Display name, by which it is found: `study/KEY`, or the path of its file."""
        key = self.manifest.get("key")
        return short_name("study", key) if key else str(self.path)

    @property
    def label(self) -> str:
        """Label of its report, e.g. `report on features`; empty of a lone file."""
        return str(self.manifest.get("label", ""))

    @property
    def created(self) -> str:
        """Time of its publication; empty of a lone file."""
        return str(self.manifest.get("created", ""))

    @cached_property
    def parts(self) -> dict[str, Manifest]:
        """Manifests, by label, of its inputs that the store still holds."""
        return {
            label: manifest
            for label, reference in self._inputs.items()
            if (manifest := self.manifest_of(reference))
        }

    @property
    def missing_parts(self) -> list[str]:
        """Labels of its inputs that the store no longer holds."""
        return sorted(set(self._inputs) - set(self.parts))

    @property
    def _inputs(self) -> dict[str, Manifest]:
        inputs = self.manifest.get("inputs", {})
        return {label: reference for label, reference in inputs.items() if reference}

    def manifest_of(self, reference: Manifest) -> Manifest | None:
        """Manifest of a reference; None if the store holds none of that content."""
        manifest = self.manifests.get((reference["stage"], reference["key"]))
        return manifest if manifest and manifest["digest"] == reference["digest"] else None

    def array(self, part: Manifest, name: str) -> np.ndarray:
        """Array of a part's `<name>.npy`; raises ArtifactDamaged."""
        return self._artifact(part, f"{name}.npy").array(name)

    def json(self, part: Manifest, name: str) -> Any:
        """Value of a part's `<name>.json`; raises ArtifactDamaged."""
        return self._artifact(part, f"{name}.json").json(name)

    def file(self, name: str) -> Path:
        """Path of one of its own files; raises ArtifactDamaged."""
        return _file_of(self._folder(self.manifest), self.manifest, name)

    def _artifact(self, part: Manifest, name: str) -> Artifact:
        """A part as an artifact, of which only the named file is checked."""
        return Artifact(_file_of(self._folder(part), part, name).parents[name.count("/")], part)

    def _folder(self, part: Manifest) -> Path:
        store = self.store or Store(self.path.parents[2])
        return store.local_folder(part["stage"], part["key"])

    @cached_property
    def results(self) -> dict[str, Any]:
        """Content of its `results.json`.

        Raises ArtifactDamaged if the file is not as published, InvalidInput if it is of another
        format or no `results.json` at all.
        """
        if self.manifest:
            _file_of(self._folder(self.manifest), self.manifest, RESULTS)
        return _read_results(self.path)


def _file_of(folder: Path, manifest: Manifest, name: str) -> Path:
    """Path of an artifact's file; raises ArtifactDamaged unless it is as published."""
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
    def refused(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    try:
        results = bounded(json.loads(path.read_bytes(), parse_constant=refused))
    except (OSError, ValueError, RecursionError) as problem:
        raise InvalidInput(f"{path}: expected JSON as a study writes it, got {problem}") from None
    version = results.get("format") if isinstance(results, dict) else None
    if version != FORMAT:
        raise InvalidInput(
            f"{path}: expected a study of format {FORMAT}, got {version}; run the study again with "
            "this version of flowers17"
        )
    try:
        for table in results["tables"].values():
            rows = [row["cells"].values() for row in table["rows"]]
            _ = table["title"], [cell["value"] for cells in rows for cell in cells]
        _ = results["data"]["digest"], results["data"]["source"], results["settings"]["seed"]
    except (KeyError, TypeError, AttributeError) as problem:
        raise InvalidInput(
            f"{path}: expected a study's settings, data and tables, could not read {problem}; give "
            "a results.json that flowers17 wrote"
        ) from None
    return dict(results)


def studies_in(address: Path | str) -> list[Study]:
    """Studies of a store, oldest first; raises InvalidInput if there is no such store."""
    store = existing_store(address)
    manifests = by_id(store.manifests())
    own = [manifest for (stage, _), manifest in manifests.items() if stage == "study"]
    own.sort(key=lambda manifest: (manifest["created"], manifest["key"]))
    return [
        Study(store.folder("study", manifest["key"]) / RESULTS, manifest, manifests, store)
        for manifest in own
    ]


def named_study(name: str, store: Path | str) -> Study:
    """Study of a name: study/KEY, a store (its newest study), or a `results.json`.

    study/KEY is looked for in `store`, its key shortened or not.
    Raises ArtifactMissing if there is none, ArtifactDamaged if the file is not as published,
    InvalidInput for an ambiguous key, another stage, or a name of none of the three kinds.
    """
    stage, _, key = name.partition("/")
    if stage == "study" and re.fullmatch(r"[0-9a-f]+", key):
        return _by_key(key, store)
    if "://" in name:
        return newest(studies_in(name), name)
    try:
        study = _at(Path(name).expanduser())
    except (OSError, RuntimeError):  # no path at all: too long, of an unknown user
        study = None
    if study:
        return study
    if re.fullmatch(r"\w+/[0-9a-f]+", name):
        raise InvalidInput(f"{name}: expected an artifact of stage 'study', got one of {stage!r}")
    raise InvalidInput(
        f"{name}: expected study/KEY, the folder of another store, or a results.json, found none "
        "of them; `flowers17 show` lists what there is"
    )


def _at(path: Path) -> Study | None:
    for file in (path, path / RESULTS):
        if file.is_file():
            return _of_file(file.absolute())
    return newest(studies_in(path), path) if path.is_dir() else None


def newest(studies: Sequence[Study], store: Path | str) -> Study:
    """The newest study; raises ArtifactMissing without any."""
    if not studies:
        raise ArtifactMissing(f"{store}: expected a study, found none; run `flowers17 run study`")
    return studies[-1]


def _by_key(key: str, store: Path | str) -> Study:
    studies = [study for study in studies_in(store) if study.manifest["key"].startswith(key)]
    if not studies:
        raise ArtifactMissing(
            f"{store}: expected an artifact 'study/{key}', found none; `flowers17 show` lists what "
            "there is"
        )
    if len(studies) > 1:
        keys = ", ".join(f"study/{study.manifest['key'][: len(key) + 8]}" for study in studies)
        raise InvalidInput(f"study/{key}: expected one study, found {keys}; give more of the key")
    return studies[0]


def _of_file(path: Path) -> Study:
    """Study of a `results.json`: with its manifest, if that lies beside it in a store."""
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
