"""The artifact store on object storage; a folder of this machine is its cache.

An artifact's files are objects `<stage>/<key>/<digest>/<name>`, where digest is that of their
content: two builders never write into each other's. `<stage>/<key>/manifest.json` is created last,
and by one of them only; without it there is no artifact. What is there is decided by the storage at
each call of `find`; what a reference names is taken from the cache if it is whole there.

One module past 300 lines, since it answers every method of `Store`.
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

from flowers17.artifacts import (
    MANIFEST,
    Artifact,
    Leftover,
    Reference,
    Store,
    read_manifest,
)
from flowers17.config.places import store_address
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput, StoreUnusable
from flowers17.files import open_regular, read_regular
from flowers17.manifests import KEY, LARGEST, STAGE
from flowers17.shared.leases import RENEWALS, Lease, expiry_s
from flowers17.shared.mirror import Mirror
from flowers17.shared.remote import Listed, Remote

CACHE_VARIABLE = "FLOWERS17_CACHE"
ABANDONED_S = 3600.0  # a lease that was not renewed for so long by the storage's clock
DIGITS = 16  # of a content's digest, in the name of its folder
_MANIFEST_OBJECT = re.compile(rf"({STAGE})/({KEY})/{re.escape(MANIFEST)}")
_FILE_OBJECT = re.compile(rf"(([^./][^/]*)/([^/]+)/[0-9a-f]{{{DIGITS}}})/.+")
_UNFINISHED_OBJECT = re.compile(r"(\.unfinished/([^/]+))/.+")
logger = logging.getLogger(__name__)


def open_store(address: Path | str) -> Store:
    """Return the store in a folder, or at an address such as `s3://bucket/prefix`.

    Raises InvalidInput if the address cannot be one. Nothing is read or written yet.
    """
    place = store_address(address)
    return Store(place) if isinstance(place, Path) else SharedStore(place)


def existing_store(address: Path | str) -> Store:
    """Return the store at an address; raises InvalidInput if it is a folder that is not there."""
    store = open_store(address)
    if isinstance(store_address(address), Path) and not store.root.is_dir():
        raise InvalidInput(f"{address}: expected the folder of a store; run `flowers17 run` first")
    return store


def cache_folder(address: str) -> Path:
    """Return the folder that holds the copies of the artifacts of an address."""
    ours = os.environ.get(CACHE_VARIABLE)
    users = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = re.sub(r"[^A-Za-z0-9]+", "-", address.partition("://")[2]).strip("-")[:60]
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return Path(ours or Path(users, "flowers17")).expanduser() / f"{name}-{digest}"


class SharedStore(Store):
    """Artifacts at an address that fsspec knows; `root` is the folder of the cache.

    What the storage refuses or does not answer raises StoreUnusable, from every method.
    """

    def __init__(self, address: str) -> None:
        super().__init__(cache_folder(address))
        self._address = address
        self.remote = Remote(address)

    @property
    def address(self) -> str:
        """What `open_store` opens it by, here and on other machines."""
        return self._address

    def place(self, stage: str, key: str) -> str:
        """Return where people find an artifact."""
        return f"{self.address}/{stage}/{key}"

    def check_writable(self) -> None:
        """Raise StoreUnusable unless the storage can be written as we need it."""
        super().check_writable()
        self.remote.check(f".check/{os.getpid()}-{time.time_ns()}")

    def find(self, stage: str, key: str, *, locked: bool = False) -> Artifact | None:
        """Return the artifact if it is there and whole, fetched if the cache lacks it.

        A damaged one is withdrawn with a warning, so that it is built again. One that only the
        cache has is uploaded if the caller holds the artifact's claim, else it counts as absent.
        """
        sealed = self.remote.read(f"{stage}/{key}/{MANIFEST}")
        if sealed is None:
            return self._put_back(stage, key) if locked else None
        with suppress(ArtifactDamaged):
            return self._fetched(stage, key, sealed)
        with nullcontext() if locked else self.claim(stage, key):
            sealed = self.remote.read(f"{stage}/{key}/{MANIFEST}")
            if sealed is not None:
                try:
                    return self._fetched(stage, key, sealed)
                except ArtifactDamaged as damage:
                    self.remote.remove([f"{stage}/{key}/{MANIFEST}"])
                    logger.warning("%s; it is withdrawn and will be built again", damage)
            return self._put_back(stage, key)

    def open(self, reference: Reference) -> Artifact:
        """Return the artifact of a reference, verified, fetched if the cache lacks it.

        Raises ArtifactMissing if it is not there, ArtifactDamaged if its content differs.
        """
        stage, key = reference.stage, reference.key
        with suppress(ArtifactDamaged, ArtifactMissing):
            return super().open(reference)
        sealed = self.remote.read(f"{stage}/{key}/{MANIFEST}")
        if sealed is not None:
            self._fetched(stage, key, sealed)
            return super().open(reference)
        raise ArtifactMissing(
            f"{self.place(stage, key)}: expected an artifact, found nothing; run the same command "
            f"again to build stage {stage!r} anew"
        )

    def brought(self, stage: str, key: str) -> Path:
        """Return the folder of an artifact that is there, fetched if the cache lacks it."""
        folder = self.folder(stage, key)
        if not folder.exists():
            sealed = self.remote.read(f"{stage}/{key}/{MANIFEST}")
            if sealed is not None:
                self._fetched(stage, key, sealed)
        return folder

    @contextmanager
    def claim(self, stage: str, key: str) -> Iterator[None]:
        """Hold the lease of one artifact; waits while another process or machine builds it.

        What an earlier build left unfinished, here or elsewhere, is there once it is held.
        """
        name = f"{stage}-{key}"
        with self.lock(stage, key):
            self._check_once()
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

        If another machine was first, theirs is returned.
        """
        return self._uploaded(super().publish(folder, manifest))

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what no manifest names and nobody works on, on the storage."""
        listed = self.remote.listed()
        busy = _names_in_use(listed)
        groups: dict[str, list[Listed]] = {}
        for name, one in listed.items():
            file, kept = _FILE_OBJECT.fullmatch(name), _UNFINISHED_OBJECT.fullmatch(name)
            if file and f"{file[2]}-{file[3]}" not in busy:
                groups.setdefault(file[1], []).append(one)
            elif kept and kept[2] not in busy:
                groups.setdefault(kept[1], []).append(one)
        for manifest in self.manifests():
            groups.pop(_files_of(manifest), None)
        for name, members in groups.items():
            yield Leftover(
                name, sum(one.size for one in members), max(one.changed for one in members)
            )

    def discard(self, names: Sequence[str]) -> None:
        """Delete artifacts and leftovers by their place, each one's manifest first."""
        listed = list(self.remote.listed())
        for name in names:
            self.remote.remove([f"{name}/{MANIFEST}"] if f"{name}/{MANIFEST}" in listed else [])
            self.remote.remove([one for one in listed if one.startswith(f"{name}/")])

    def pinned(self) -> set[str]:
        """Return the places, `<stage>/<key>`, that are never collected."""
        return {one.removeprefix(".pins/") for one in self.remote.listed(".pins")}

    def pin(self, place: str, *, keep: bool = True) -> None:
        """Never collect an artifact and what it was made from, or let it be collected again."""
        if keep:
            self.remote.write(f".pins/{place}", b"")
        else:
            self.remote.remove([f".pins/{place}"])

    def _put_back(self, stage: str, key: str) -> Artifact | None:
        """Upload an artifact that is whole in the cache only: its upload was cut off."""
        cached = super().find(stage, key, locked=True)
        if cached is None:
            return None
        artifact = self._uploaded(cached)
        shutil.rmtree(self.unfinished(stage, key), ignore_errors=True)
        return artifact

    def _uploaded(self, artifact: Artifact) -> Artifact:
        manifest, stage, key = artifact.manifest, artifact.reference.stage, artifact.reference.key
        files = {
            f"{_files_of(manifest)}/{name}": artifact.path / name for name in manifest["files"]
        }
        self.remote.upload(files)
        sealed = (artifact.path / MANIFEST).read_bytes()
        if self.remote.create(f"{stage}/{key}/{MANIFEST}", sealed):
            return artifact
        logger.warning("%s: another machine was first, its artifact counts", self.place(stage, key))
        theirs = self.remote.read(f"{stage}/{key}/{MANIFEST}")
        if theirs is None:
            raise StoreUnusable(
                f"{self.place(stage, key)}: expected the artifact of the machine that was first, "
                "found that it was withdrawn; run the same command again"
            )
        return self._fetched(stage, key, theirs)

    def _fetched(self, stage: str, key: str, sealed: bytes) -> Artifact:
        """Return the artifact of a manifest, from the cache or fetched; raises ArtifactDamaged."""
        folder = self.folder(stage, key)
        self._refuse_links(folder.parent)
        with suppress(ArtifactDamaged):
            return self._cached(folder, sealed)
        with self.lock(f"fetch-{stage}", key):
            with suppress(ArtifactDamaged):
                return self._cached(folder, sealed)
            with self.writing(f"fetch-{stage}", key) as partial:
                whole = partial / stage / key
                whole.mkdir(parents=True)
                (whole / MANIFEST).write_bytes(sealed)
                self._download(whole)
                try:
                    artifact = self._verified(whole)
                except ArtifactDamaged:
                    self._set_aside(whole)
                    raise
                self.own_folder(stage)
                if os.path.lexists(folder):
                    folder.rename(partial / "outdated")
                whole.rename(folder)
            return Artifact(folder, artifact.manifest)

    def _cached(self, folder: Path, sealed: bytes) -> Artifact:
        """Return the cache's copy of the artifact of a manifest; raises ArtifactDamaged."""
        try:
            same = read_regular(folder / MANIFEST, below=self.root) == sealed
        except OSError:
            same = False
        if not same:
            raise ArtifactDamaged(f"{folder}: expected the storage's artifact, found another")
        try:
            return self._verified(folder, unless_unchanged=True)
        except ArtifactDamaged as damage:
            logger.warning("%s; it is fetched again", damage)
            raise

    def _download(self, whole: Path) -> None:
        manifest = read_manifest(whole / MANIFEST)
        names, below = list(manifest["files"]), _files_of(manifest)
        for name in names:
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
        self.remote.download({f"{below}/{name}": whole / name for name in names})

    def _manifest_files(self) -> list[tuple[tuple[str, str], Path]]:
        """Return stage, key and local copy of the storage's manifests; no other file is fetched."""
        listed = self.remote.listed()
        found = {
            name: (match[1], match[2])
            for name, one in listed.items()
            if (match := _MANIFEST_OBJECT.fullmatch(name)) and one.size <= LARGEST
        }
        copies = self._copies_of({name: listed[name] for name in found})
        return [(found[name], path) for name, path in copies.items()]

    def _copies_of(self, listed: Mapping[str, Listed]) -> dict[str, Path]:
        """Return local copies of the storage's manifests; those that it has no more are removed."""
        with self.guarded_writes():
            folder = self.own_folder(".manifests")
            copies = {
                name: folder / f"{hashlib.sha256(one.mark.encode()).hexdigest()}.json"
                for name, one in listed.items()
            }
            there = set(folder.glob("*.json"))
            missing = [name for name, path in copies.items() if path not in there]
            for name, data in self.remote.read_all(missing).items():
                partial = folder / f"{os.getpid()}-{time.time_ns()}.partial"
                partial.write_bytes(data)
                partial.rename(copies[name])
            for path in there - set(copies.values()):
                path.unlink(missing_ok=True)
        return {name: path for name, path in copies.items() if path.exists()}

    def _check_once(self) -> None:
        """Check, when this cache is first built with, that the storage does what we need."""
        with self.guarded_writes():
            mark = self.root / ".checked"
            if not mark.exists():
                self.check_writable()
                os.close(open_regular(mark, os.O_WRONLY | os.O_CREAT))


def _files_of(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['stage']}/{manifest['key']}/{manifest['digest'][:DIGITS]}"


def _names_in_use(listed: Mapping[str, Listed]) -> set[str]:
    """Return the names whose lease was made, renewed or released a short while ago."""
    newest = {name.split("/")[1]: one for name, one in listed.items() if name.startswith(".locks/")}
    limit = time.time() - ABANDONED_S
    return {name for name, one in newest.items() if one.changed > limit}
