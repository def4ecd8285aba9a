"""The artifact store: complete or absent, verified when read, built once under concurrency.

`store/<stage>/<key>/` holds an artifact's files and `manifest.json`, which is written last and
carries a digest of itself. An artifact is made in `store/.partial/`, flushed to disk and renamed
into place. Its files are hashed before they are read; if it is only looked for, those that nothing
wrote to since they were hashed are passed over (`store/.verified/` tells). A damaged one is moved
to `store/.damaged/` and counts as absent.

Others may write to a store. What they write is believed only if its digests fit: an artifact's key
is that of its material. Locks, and the refusal of links, are in `flowers17.store_folder`.
"""

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flowers17.digests import read_sha256, sha256_of
from flowers17.errors import ArtifactDamaged, ArtifactMissing
from flowers17.files import files_below, flush, folders_from, read_regular, remove
from flowers17.manifests import KEY, STAGE, check, read_manifest, sealed
from flowers17.store_folder import Fingerprints, StoreFolder

if TYPE_CHECKING:  # a fifth of the time to `--help`
    import numpy as np

MANIFEST = "manifest.json"
_PLACE = re.compile(f"{STAGE}/{KEY}")
# What reading a file of another kind than expected raises, NumPy's reader included.
_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, OverflowError, RecursionError)
logger = logging.getLogger(__name__)
_reported: set[str] = set()  # damaged manifests: once a process, though they are read often


def short_name(stage: str, key: str) -> str:
    """Short name of an artifact, which `flowers17 show` takes.

    >>> short_name("splits", "0123456789abcdef")
    'splits/0123456789ab'
    """
    return f"{stage}/{key[:12]}"


@dataclass(frozen=True)
class Reference:
    """An artifact's name and the digest of its content, which stages pass to each other."""

    stage: str
    key: str
    digest: str

    def to_json(self) -> dict[str, str]:
        """The reference as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> "Reference":
        """The reference that `to_json` wrote."""
        return cls(stage=value["stage"], key=value["key"], digest=value["digest"])


@dataclass(frozen=True)
class Artifact:
    """A verified artifact: its folder and its manifest."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def reference(self) -> Reference:
        """The reference to this artifact."""
        return Reference(self.manifest["stage"], self.manifest["key"], self.manifest["digest"])

    def file(self, name: str) -> Path:
        """Path of one of its files; raises ArtifactMissing if there is none."""
        if name not in self.manifest["files"]:
            raise ArtifactMissing(
                f"{self.path}: expected a file {name!r}, found {sorted(self.manifest['files'])}"
            )
        return self.path / name

    def array(self, name: str, mode: Literal["r"] | None = None) -> "np.ndarray":
        """The array stored as `<name>.npy`, mapped in mode `r`; raises ArtifactDamaged."""
        import numpy as np

        path = self.file(f"{name}.npy")
        try:
            array: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
        except _UNREADABLE as problem:
            raise ArtifactDamaged(f"{path}: expected an array, got {problem}") from problem
        return array

    def mapped(self, name: str) -> "np.ndarray":
        """The array stored as `<name>.npy`, memory-mapped: read where it is indexed."""
        return self.array(name, "r")

    def json(self, name: str) -> Any:
        """The value stored as `<name>.json`; raises ArtifactDamaged if it is none."""
        path = self.file(f"{name}.json")
        try:
            return json.loads(read_regular(path))
        except _UNREADABLE as problem:
            raise ArtifactDamaged(f"{path}: expected JSON, got {problem}") from problem


def _content_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of the content of a manifest's files."""
    return sha256_of({name: entry["sha256"] for name, entry in files.items()})


class Store(StoreFolder):
    """A folder of artifacts."""

    @property
    def address(self) -> str:
        """What `shared.open_store` takes, here and on other machines."""
        return str(self.root)

    def folder(self, stage: str, key: str) -> Path:
        """Folder on this machine of a stage and key, whether an artifact is there or not."""
        return self.root / stage / key

    def location(self, stage: str, key: str) -> str:
        """Address of an artifact, for people."""
        return str(self.folder(stage, key))

    def local_folder(self, stage: str, key: str) -> Path:
        """Folder of an artifact; on this machine, if the store has the artifact."""
        return self.folder(stage, key)

    def find(self, stage: str, key: str, *, locked: bool = False) -> Artifact | None:
        """The artifact if it is there and undamaged, else None.

        Files that nothing wrote to since they were last hashed are not hashed again. A damaged
        artifact is set aside with a warning, so that it is built again. Raises StoreUnusable if
        the stage's folder is a link.
        locked: whether the caller holds the artifact's lock, by `claim`.
        """
        folder = self.folder(stage, key)
        self.without_links(folder.parent)
        if not os.path.lexists(folder):
            return None
        with suppress(ArtifactDamaged):
            return self._verified(folder, unless_unchanged=True)
        # Under the lock, since another process may have set it aside and built it anew meanwhile.
        with nullcontext() if locked else self.lock(stage, key):
            if not os.path.lexists(folder):
                return None
            try:
                return self._verified(folder, unless_unchanged=True)
            except ArtifactDamaged as damage:
                self.set_aside(folder)
                logger.warning("%s; it is set aside and will be built again", damage)
                return None

    def open(self, reference: Reference) -> Artifact:
        """The artifact of a reference, verified.

        Raises ArtifactMissing if it is not there, ArtifactDamaged if its content differs, and
        StoreUnusable if the stage's folder is a link.
        """
        folder = self.folder(reference.stage, reference.key)
        self.without_links(folder.parent)
        if not folder.exists():
            raise ArtifactMissing(
                f"{folder}: expected an artifact, found nothing; run the same command again "
                f"to build stage {reference.stage!r} anew"
            )
        artifact = self._verified(folder)
        if artifact.manifest["digest"] != reference.digest:
            raise ArtifactDamaged(
                f"{folder}: expected content {reference.digest[:12]}…, found "
                f"{artifact.manifest['digest'][:12]}…; run the same command again"
            )
        return artifact

    def manifests(self) -> Iterator[dict[str, Any]]:
        """Every undamaged manifest, in the order of stage and key; their files unverified."""
        for (stage, key), path in self._manifest_files():
            try:
                manifest = read_manifest(path, below=self.root)
                if (manifest["stage"], manifest["key"]) != (stage, key):
                    raise ArtifactDamaged(f"{path.parent}: the manifest describes another artifact")
            except ArtifactDamaged as damage:
                if str(damage) not in _reported:
                    logger.warning("%s; it is skipped", damage)
                _reported.add(str(damage))
            else:
                yield manifest

    def claim(self, stage: str, key: str) -> AbstractContextManager[None]:
        """Hold the right to build one artifact; waits while another process builds it."""
        return self.lock(stage, key)

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Make the folder's files an artifact, atomically.

        manifest: at least `stage` and `key`; `files`, `digest` and `seal` are added here.
        """
        with self.guarded_writes():
            paths = {path.relative_to(folder).as_posix(): path for path in files_below(folder)}
            for path in paths.values():
                flush(path)
            since = time.time_ns()
            files = {
                name: {"sha256": read_sha256(path), "size": path.stat().st_size}
                for name, path in paths.items()
            }
            digest = _content_digest(files)
            complete = sealed({**manifest, "files": files, "digest": digest})
            check(complete)
            with (folder / MANIFEST).open("w") as stream:
                json.dump(complete, stream, indent=1, sort_keys=True)
                stream.flush()
                os.fsync(stream.fileno())
            for inner in folders_from(folder):
                flush(inner)
            target = self.folder(complete["stage"], complete["key"])
            is_first = not target.parent.exists()
            self.own_folder(complete["stage"])
            if os.path.lexists(target):
                self.set_aside(target)
            folder.rename(target)
            flush(target.parent)
            if is_first:
                flush(self.root)
        self._fingerprints(target, digest).keep(files, since=since)
        return Artifact(target, complete)

    def discard(self, places: Sequence[str]) -> None:
        """Delete artifacts and leftovers by their places; each is moved aside first, atomically."""
        with self.guarded_writes():
            trash = self.own_folder(".partial") / f"gc-{time.time_ns()}"
            trash.mkdir()
            for place in places:
                self.own_folder(place.partition("/")[0])
                (self.root / place).rename(trash / place.replace("/", "-"))
                with suppress(OSError):  # no file, or below a link
                    remove(self._fingerprints_file(self.root / place), below=self.root)
            shutil.rmtree(trash)

    def _manifest_files(self) -> list[tuple[tuple[str, str], Path]]:
        """Stage, key and path of every manifest; folders of other names are not the store's."""
        stages = (path for path in self.root.glob("[!.]*") if not path.is_symlink())
        return [
            ((path.parents[1].name, path.parent.name), path)
            for path in sorted(path for stage in stages for path in stage.glob(f"*/{MANIFEST}"))
            if _PLACE.fullmatch(path.parent.relative_to(self.root).as_posix())
        ]

    def _verified(self, folder: Path, *, unless_unchanged: bool = False) -> Artifact:
        """The artifact in a folder; raises ArtifactDamaged if a file is not as published.

        unless_unchanged: whether to pass over files that nothing wrote to since they were hashed.
        """
        since = time.time_ns()
        manifest = read_manifest(folder / MANIFEST, below=self.root)
        files = manifest["files"]
        digest = _content_digest(files)
        expected = (folder.parent.name, folder.name, digest)
        if (manifest["stage"], manifest["key"], manifest["digest"]) != expected:
            raise ArtifactDamaged(f"{folder}: the manifest describes another artifact")
        names = {path.relative_to(folder).as_posix() for path in files_below(folder)} - {MANIFEST}
        if names != set(files):
            raise ArtifactDamaged(
                f"{folder}: expected files {sorted(files)}, found {sorted(names)}"
            )
        fingerprints = self._fingerprints(folder, digest)
        for name, entry in files.items():
            path = folder / name
            try:
                is_unchanged = unless_unchanged and fingerprints.unchanged(name)
                is_whole = is_unchanged or read_sha256(path) == entry["sha256"]
            except OSError as problem:
                raise ArtifactDamaged(f"{path}: unreadable ({problem})") from problem
            if not is_whole:
                fingerprints.forget()
                raise ArtifactDamaged(f"{path}: its bytes are not those published")
        if unless_unchanged:  # else reading a store would write to it
            fingerprints.keep(files, since=since)
        return Artifact(folder, manifest)

    def _fingerprints(self, folder: Path, digest: str) -> Fingerprints:
        return Fingerprints(self._fingerprints_file(folder), folder, digest, below=self.root)

    def _fingerprints_file(self, folder: Path) -> Path:
        return self.root / ".verified" / f"{folder.parent.name}-{folder.name}"
