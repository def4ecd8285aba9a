"""The artifact store on object storage; a folder of this machine is its cache.

An artifact's files are objects `<stage>/<key>/<digest>/<name>`, where digest is that of their
content, so two builders never write the same objects. `<stage>/<key>/manifest.json` is created last
and by one builder only; without it there is no artifact. `find` asks the storage at each call;
`open` takes the artifact of a reference from the cache if it is undamaged there.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from flowers17.artifacts import MANIFEST, Artifact, Reference, Store
from flowers17.config.run_options import store_address
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput, StoreUnusable
from flowers17.files import open_regular, read_regular
from flowers17.manifests import LARGEST, read_manifest
from flowers17.shared.claims import RENEWALS, Lease, Mirror, expiry_s
from flowers17.shared.remote import (
    Remote,
    abandoned_groups,
    artifact_of,
    files_place,
    manifest_name,
)
from flowers17.store_folder import Leftover

CACHE_VARIABLE = "FLOWERS17_CACHE"
logger = logging.getLogger(__name__)


def open_store(address: Path | str) -> Store:
    """The store in a folder, or at an address such as `s3://bucket/prefix`.

    Raises InvalidInput if the address cannot be one. Nothing is read or written yet.
    """
    root = store_address(address)
    return Store(root) if isinstance(root, Path) else SharedStore(root)


def existing_store(address: Path | str) -> Store:
    """The store at an address; raises InvalidInput if it is a folder that does not exist."""
    store = open_store(address)
    if isinstance(store_address(address), Path) and not store.root.is_dir():
        raise InvalidInput(f"{address}: expected the folder of a store; run `flowers17 run` first")
    return store


def _files_in(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Path]:
    """Files of a manifest in a folder, by the names of their objects."""
    return {f"{files_place(manifest)}/{name}": folder / name for name in manifest["files"]}


class SharedStore(Store):
    """Artifacts at an address that fsspec knows; `root` is the folder of the cache.

    Every method raises StoreUnusable if the storage refuses or does not answer.
    """

    def __init__(self, address: str) -> None:
        own_cache = os.environ.get(CACHE_VARIABLE)
        user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        caches = Path(own_cache or Path(user_cache, "flowers17")).expanduser()
        name = re.sub(r"[^A-Za-z0-9]+", "-", address.partition("://")[2]).strip("-")[:60]
        super().__init__(caches / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}")
        self._address = address
        self.remote = Remote(address)

    @property
    def address(self) -> str:
        """What `open_store` takes, here and on other machines."""
        return self._address

    def location(self, stage: str, key: str) -> str:
        """Address of an artifact, for people."""
        return f"{self.address}/{stage}/{key}"

    def check_writable(self) -> None:
        """Raise StoreUnusable unless objects can be created, each once, in the storage."""
        super().check_writable()
        self.remote.check(f".check/{os.getpid()}-{time.time_ns()}")

    def find(self, stage: str, key: str, *, locked: bool = False) -> Artifact | None:
        """The artifact if it is there and undamaged, fetched if the cache lacks it; else None.

        A damaged artifact is withdrawn with a warning, so that it is built again. An artifact that
        only the cache has is uploaded if the caller holds its claim, else it counts as absent.
        """
        sealed = self.remote.read(manifest_name(stage, key))
        if sealed is None:
            return self._put_back(stage, key) if locked else None
        with suppress(ArtifactDamaged):
            return self._fetched(stage, key, sealed)
        with nullcontext() if locked else self.claim(stage, key):
            sealed = self.remote.read(manifest_name(stage, key))
            if sealed is not None:
                try:
                    return self._fetched(stage, key, sealed)
                except ArtifactDamaged as damage:
                    self.remote.remove([manifest_name(stage, key)])
                    logger.warning("%s; it is withdrawn and will be built again", damage)
            return self._put_back(stage, key)

    def open(self, reference: Reference) -> Artifact:
        """The artifact of a reference, verified, fetched if the cache lacks it.

        Raises ArtifactMissing if it is not there, ArtifactDamaged if its content differs.
        """
        stage, key = reference.stage, reference.key
        with suppress(ArtifactDamaged, ArtifactMissing):
            return super().open(reference)
        sealed = self.remote.read(manifest_name(stage, key))
        if sealed is not None:
            self._fetched(stage, key, sealed)
            return super().open(reference)
        raise ArtifactMissing(
            f"{self.location(stage, key)}: expected an artifact, found nothing; run the same "
            f"command again to build stage {stage!r} anew"
        )

    def local_folder(self, stage: str, key: str) -> Path:
        """Folder of an artifact on this machine, fetched if the cache lacks it."""
        folder = self.folder(stage, key)
        if not folder.exists():
            sealed = self.remote.read(manifest_name(stage, key))
            if sealed is not None:
                self._fetched(stage, key, sealed)
        return folder

    @contextmanager
    def claim(self, stage: str, key: str) -> Iterator[None]:
        """Hold the lease of one artifact; waits while another process or machine builds it.

        The checkpoints of an earlier build, here or elsewhere, are there once it is held.
        """
        name = f"{stage}-{key}"
        with self.lock(stage, key):
            with self.guarded_writes():
                mark = self.root / ".checked"
                if not mark.exists():  # this cache is first built with
                    self.check_writable()
                    os.close(open_regular(mark, os.O_WRONLY | os.O_CREAT))
            note = self.own_folder(".leases") / name
            with Lease(self.remote, name, note) as lease:
                mirror = Mirror(
                    self.remote,
                    f".unfinished/{name}",
                    self.unfinished(stage, key),
                    lambda: lease.is_held,
                    expiry_s() / RENEWALS,
                )
                if lease.generation > 1:
                    mirror.fetch()
                with mirror:
                    yield

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Make the folder's files an artifact of the cache, then of the storage.

        If another machine was first, the artifact of that machine is returned.
        """
        return self._uploaded(super().publish(folder, manifest))

    def leftovers(self) -> Iterator[Leftover]:
        """Objects of the storage that no manifest names and no process works on."""
        groups = abandoned_groups(self.remote.listing())
        for manifest in self.manifests():
            groups.pop(files_place(manifest), None)
        for name, members in groups.items():
            size = sum(info.size for info in members)
            yield Leftover(name, size, max(info.changed for info in members))

    def discard(self, places: Sequence[str]) -> None:
        """Delete artifacts and leftovers by their places, the manifest of an artifact first."""
        names = list(self.remote.listing())
        for place in places:
            self.remote.remove([name for name in names if name == f"{place}/{MANIFEST}"])
            self.remote.remove([name for name in names if name.startswith(f"{place}/")])

    def pinned(self) -> set[str]:
        """The places, `<stage>/<key>`, of artifacts that garbage collection keeps."""
        return {name.removeprefix(".pins/") for name in self.remote.listing(".pins")}

    def pin(self, place: str, *, keep: bool = True) -> None:
        """Keep an artifact and its inputs from garbage collection; keep=False: no longer."""
        if keep:
            self.remote.write(f".pins/{place}", b"")
        else:
            self.remote.remove([f".pins/{place}"])

    def _put_back(self, stage: str, key: str) -> Artifact | None:
        """Upload an artifact that only the cache has: its upload was cut off."""
        cached = super().find(stage, key, locked=True)
        if cached is None:
            return None
        artifact = self._uploaded(cached)
        shutil.rmtree(self.unfinished(stage, key), ignore_errors=True)
        return artifact

    def _uploaded(self, artifact: Artifact) -> Artifact:
        stage, key = artifact.reference.stage, artifact.reference.key
        self.remote.upload(_files_in(artifact.path, artifact.manifest))
        sealed = (artifact.path / MANIFEST).read_bytes()
        if self.remote.create(manifest_name(stage, key), sealed):
            return artifact
        location = self.location(stage, key)
        logger.warning("%s: another machine was first, its artifact counts", location)
        published = self.remote.read(manifest_name(stage, key))
        if published is None:
            raise StoreUnusable(
                f"{location}: expected the artifact of the machine that was first, "
                "found that it was withdrawn; run the same command again"
            )
        return self._fetched(stage, key, published)

    def _fetched(self, stage: str, key: str, sealed: bytes) -> Artifact:
        """The artifact of a manifest, from the cache or fetched; raises ArtifactDamaged."""
        folder = self.folder(stage, key)
        self.without_links(folder.parent)
        with suppress(ArtifactDamaged):
            return self._cached(folder, sealed)
        with self.lock(f"fetch-{stage}", key):
            with suppress(ArtifactDamaged):
                return self._cached(folder, sealed)
            with self.writing(f"fetch-{stage}", key) as partial:
                copy = partial / stage / key
                copy.mkdir(parents=True)
                (copy / MANIFEST).write_bytes(sealed)
                files = _files_in(copy, read_manifest(copy / MANIFEST))
                for path in files.values():
                    path.parent.mkdir(parents=True, exist_ok=True)
                self.remote.download(files)
                try:
                    artifact = self._verified(copy)
                except ArtifactDamaged:
                    self.set_aside(copy)
                    raise
                self.own_folder(stage)
                if os.path.lexists(folder):
                    folder.rename(partial / "outdated")
                copy.rename(folder)
            return Artifact(folder, artifact.manifest)

    def _cached(self, folder: Path, sealed: bytes) -> Artifact:
        """The cache's copy of the artifact of a manifest; raises ArtifactDamaged."""
        try:
            is_current = read_regular(folder / MANIFEST, below=self.root) == sealed
        except OSError:
            is_current = False
        if not is_current:
            raise ArtifactDamaged(f"{folder}: expected the storage's artifact, found another")
        try:
            return self._verified(folder, unless_unchanged=True)
        except ArtifactDamaged as damage:
            logger.warning("%s; it is fetched again", damage)
            raise

    def _manifest_files(self) -> list[tuple[tuple[str, str], Path]]:
        """Stage, key and local copy of the storage's manifests; no other file is fetched."""
        with self.guarded_writes():
            folder = self.own_folder(".manifests")
            copies = {
                name: folder / f"{hashlib.sha256(info.version.encode()).hexdigest()}.json"
                for name, info in self.remote.listing().items()
                if artifact_of(name) and info.size <= LARGEST
            }
            cached = set(folder.glob("*.json"))
            missing = [name for name, path in copies.items() if path not in cached]
            for name, data in self.remote.read_all(missing).items():
                partial = folder / f"{os.getpid()}-{time.time_ns()}.partial"
                partial.write_bytes(data)
                partial.rename(copies[name])
            for path in cached - set(copies.values()):  # of deleted manifests
                path.unlink(missing_ok=True)
        artifacts = ((artifact_of(name), path) for name, path in copies.items() if path.exists())
        return [(artifact, path) for artifact, path in artifacts if artifact]
