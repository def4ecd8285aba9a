"""The artifact store: whole or absent, verified when read, built once under concurrency.

`store/<stage>/<key>/` holds an artifact's files and `manifest.json`, which is written last and
carries a digest of itself. An artifact is made in `store/.partial/`, flushed to disk and renamed
into place. Its files are hashed before they are read; if it is only looked for, those that nothing
wrote to since they were hashed are passed over (`store/.verified/` tells). A damaged one is moved
to `store/.damaged/` and counts as absent. Locks are kernel locks in `store/.locks/`: the kernel
frees them when their process dies, however it dies.

Others may write to a store. What they write is believed only if its digests fit: an artifact's key
is that of its material. Its files are opened without following links, and only regular ones; a
folder of the store's own that is a link is refused. The store's root may be a link.

One long module, since a store on object storage (`flowers17.shared`) has the same methods.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flowers17.errors import ArtifactDamaged, ArtifactMissing, Flowers17Error, StoreUnusable
from flowers17.files import flush, open_regular, read_regular, refuse_links, remove
from flowers17.fingerprints import Fingerprints
from flowers17.manifests import KEY, LARGEST, STAGE, check

MANIFEST = "manifest.json"
_PLACE = re.compile(f"{STAGE}/{KEY}")
# What reading a file of another kind than expected raises, NumPy's reader included.
_UNREADABLE = (OSError, ValueError, EOFError, MemoryError, OverflowError, RecursionError)
# What using a value of another kind than expected raises.
_TWISTED = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError),
)
logger = logging.getLogger(__name__)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def read_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes as they are on the disk now, in hexadecimal.

    Raises OSError for a link, a pipe or a folder.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_passed_over: set[str] = set()  # told once a process, though manifests are read several times
_remembered: dict[tuple[str | int, ...], str] = {}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; read again only if something wrote to the file.

    For a person's own large files, which many stages ask about, and which may be linked; the
    store's are always read.
    """
    path = path.resolve()
    status = path.stat()
    seen = (str(path.absolute()), status.st_ino, status.st_size, status.st_ctime_ns)
    digest = _remembered.get(seen) or read_sha256(path)
    # A later write within the clock's tick would not show in the time of change.
    if time.time_ns() - status.st_ctime_ns > 1_000_000_000:
        _remembered[seen] = digest
    return digest


def short_name(stage: str, key: str) -> str:
    """Return what people call an artifact, and give to `flowers17 show`.

    >>> short_name("splits", "0123456789abcdef")
    'splits/0123456789ab'
    """
    return f"{stage}/{key[:12]}"


@dataclass(frozen=True)
class Reference:
    """What tasks pass to each other: where an artifact lies and what it must contain."""

    stage: str
    key: str
    digest: str

    def to_json(self) -> dict[str, str]:
        """Return the reference as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> "Reference":
        """Return the reference that `to_json` wrote."""
        return cls(stage=value["stage"], key=value["key"], digest=value["digest"])


@dataclass(frozen=True)
class Artifact:
    """A verified artifact: its folder and its manifest."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def reference(self) -> Reference:
        """The reference that leads here."""
        return Reference(self.manifest["stage"], self.manifest["key"], self.manifest["digest"])

    def file(self, name: str) -> Path:
        """Return the path of one of its files; raises ArtifactMissing if there is none."""
        if name not in self.manifest["files"]:
            raise ArtifactMissing(
                f"{self.path}: expected a file {name!r}, found {sorted(self.manifest['files'])}"
            )
        return self.path / name

    def array(self, name: str) -> np.ndarray:
        """Return the array stored as `<name>.npy`; raises ArtifactDamaged if it is none."""
        return self._array(name, None)

    def mapped(self, name: str) -> np.ndarray:
        """Return the array stored as `<name>.npy`, read from the disk where it is looked at."""
        return self._array(name, "r")

    def json(self, name: str) -> Any:
        """Return the value stored as `<name>.json`; raises ArtifactDamaged if it is none."""
        path = self.file(f"{name}.json")
        try:
            return json.loads(read_regular(path))
        except _UNREADABLE as problem:
            raise ArtifactDamaged(f"{path}: expected JSON, got {problem}") from problem

    def _array(self, name: str, mode: Literal["r"] | None) -> np.ndarray:
        path = self.file(f"{name}.npy")
        try:
            found: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
        except _UNREADABLE as problem:
            raise ArtifactDamaged(f"{path}: expected an array, got {problem}") from problem
        return found


def _files_below(folder: Path) -> list[Path]:
    """Return all that is not a folder, links included: an artifact has no others than files."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _folders_of(folder: Path) -> list[Path]:
    return [folder, *(path for path in folder.rglob("*") if path.is_dir())]


def _size(path: Path) -> int:
    is_folder = path.is_dir() and not path.is_symlink()
    return sum(one.lstat().st_size for one in (_files_below(path) if is_folder else [path]))


def _sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest as plain JSON, with a digest of all that it says."""
    plain = json.loads(canonical_json({**manifest, "seal": None}))
    return {**plain, "seal": sha256_of(plain)}


def read_manifest(path: Path, *, below: Path | None = None) -> dict[str, Any]:
    """Return a manifest that is as it was published, in the types that `manifests` says.

    below: as in `open_regular`. Raises ArtifactDamaged if it is not, or if its key is not the
    digest of its material: a key that a study asks for names what the study wants, whoever wrote.
    """
    try:
        manifest = json.loads(read_regular(path, below=below, at_most=LARGEST).decode())
        check(manifest)
        if manifest != _sealed(manifest):
            raise ValueError("not as it was published")
        if manifest["key"] != sha256_of(manifest["material"]):
            raise ValueError("its key is not the digest of its material")
    except (OSError, ValueError, TypeError, RecursionError) as problem:
        raise ArtifactDamaged(f"{path.parent}: unreadable manifest ({problem})") from problem
    return manifest


@contextmanager
def read_as_written(name: str) -> Iterator[None]:
    """Raise ArtifactDamaged where a description is not as this version writes it.

    name: of the artifact. Its digests may fit nevertheless: somebody else may have made them.
    """
    try:
        yield
    except Flowers17Error:
        raise
    except (*_TWISTED, ValueError) as problem:
        reason = problem if isinstance(problem, ValueError) else repr(problem)
        raise ArtifactDamaged(
            f"{name}: expected what this version of flowers17 writes, could not read {reason}; run "
            "the study again"
        ) from problem


@dataclass(frozen=True)
class Leftover:
    """What a broken build left: its place in the store, bytes, seconds since 1970."""

    place: str
    size: int
    changed: float


OWN_FOLDERS = (".locks", ".partial", ".unfinished", ".damaged", ".verified", ".pins")


class Store:
    """A folder of artifacts."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()

    @property
    def address(self) -> str:
        """What `shared.open_store` opens it by, here and on other machines."""
        return str(self.root)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artifact of a stage and key lies, whether it is there or not."""
        return self.root / stage / key

    def place(self, stage: str, key: str) -> str:
        """Return where people find an artifact."""
        return str(self.folder(stage, key))

    def brought(self, stage: str, key: str) -> Path:
        """Return the folder of an artifact, which lies on this machine now if it is there."""
        return self.folder(stage, key)

    def check_writable(self) -> None:
        """Raise StoreUnusable, which says what to do, unless files can be made in the store."""
        try:
            with self.guarded_writes():
                self.root.mkdir(parents=True, exist_ok=True)
                for name in OWN_FOLDERS:
                    if os.path.lexists(self.root / name):
                        self.own_folder(name)
                with tempfile.NamedTemporaryFile(dir=self.root, prefix=".writable-"):
                    pass
        except OSError as problem:  # of a place that is no file system for files, such as /proc
            raise StoreUnusable(
                f"store {self.root}: expected a folder in which files can be made, got "
                f"{problem.strerror!r}; choose another --store"
            ) from problem

    def find(self, stage: str, key: str, *, locked: bool = False) -> Artifact | None:
        """Return the artifact if it is there and whole.

        Files that nothing wrote to since they were last hashed are not hashed again. A damaged
        one is set aside with a warning, so that it is built again. Raises StoreUnusable if the
        stage's folder is a link.
        locked: whether the caller holds the artifact's lock, by `claim`.
        """
        folder = self.folder(stage, key)
        self._refuse_links(folder.parent)
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
                self._set_aside(folder)
                logger.warning("%s; it is set aside and will be built again", damage)
                return None

    def open(self, reference: Reference) -> Artifact:
        """Return the artifact of a reference, verified.

        Raises ArtifactMissing if it is not there, ArtifactDamaged if its content differs, and
        StoreUnusable if the stage's folder is a link.
        """
        folder = self.folder(reference.stage, reference.key)
        self._refuse_links(folder.parent)
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
        """Yield every whole manifest, in the order of stage and key; their files unverified."""
        for (stage, key), path in self._manifest_files():
            try:
                manifest = read_manifest(path, below=self.root)
                if (manifest["stage"], manifest["key"]) != (stage, key):
                    raise ArtifactDamaged(f"{path.parent}: the manifest describes another artifact")
            except ArtifactDamaged as damage:
                if str(damage) not in _passed_over:
                    logger.warning("%s; it is passed over", damage)
                _passed_over.add(str(damage))
            else:
                yield manifest

    @contextmanager
    def lock(self, stage: str, key: str) -> Iterator[None]:
        """Hold the kernel lock of one artifact; waits while another process builds it."""
        with self.guarded_writes():
            path = self.own_folder(".locks") / f"{stage}-{key}"
            descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT, below=self.root)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def claim(self, stage: str, key: str) -> Iterator[None]:
        """Hold the right to build one artifact; waits while another process builds it."""
        with self.lock(stage, key):
            yield

    def is_locked(self, name: str) -> bool:
        """Return whether some process holds the lock `<stage>-<key>`."""
        try:
            descriptor = open_regular(self.root / ".locks" / name, below=self.root)
        except OSError:  # absent, or no lock of ours
            return False
        try:
            # Shared, since NFS grants an exclusive one only on a file opened to be written to.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def own_folder(self, name: str) -> Path:
        """Return a folder that the store keeps for itself, made if it is not there.

        Raises StoreUnusable if it is a link: what is written there would land elsewhere.
        """
        path = self.root / name
        with self.guarded_writes():
            self._refuse_links(path)
            path.mkdir(parents=True, exist_ok=True)
        return path

    def _refuse_links(self, path: Path) -> Path:
        """Return a place in the store; raises StoreUnusable if a link leads, or would lead, there.

        What is moved, read or deleted through it would be somebody else's.
        """
        with self.guarded_writes():
            return refuse_links(path, below=self.root)

    @contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Path]:
        """Yield an empty folder on the store's own file system; it is removed if not published.

        Call it under the artifact's lock: what killed builds of the same artifact left is removed.
        """
        with self.guarded_writes():
            folder = self.own_folder(".partial") / f"{stage}-{key}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        try:
            with self.guarded_writes():
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def unfinished(self, stage: str, key: str) -> Path:
        """Return where a build of an artifact keeps what a killed one shall not lose.

        Raises StoreUnusable if a link is in its place, or anywhere inside.
        """
        folder = self._refuse_links(self.root / ".unfinished" / f"{stage}-{key}")
        for path in folder.rglob("*"):
            self._refuse_links(path)
        return folder

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Make the folder's files an artifact, atomically.

        manifest: at least `stage` and `key`; `files`, `digest` and `seal` are added here.
        """
        with self.guarded_writes():
            files = {}
            paths = _files_below(folder)
            for path in paths:
                flush(path)
            since = time.time_ns()
            for path in paths:
                files[path.relative_to(folder).as_posix()] = {
                    "sha256": read_sha256(path),
                    "size": path.stat().st_size,
                }
            digest = sha256_of({name: entry["sha256"] for name, entry in files.items()})
            whole = _sealed({**manifest, "files": files, "digest": digest})
            check(whole)
            with (folder / MANIFEST).open("w") as stream:
                json.dump(whole, stream, indent=1, sort_keys=True)
                stream.flush()
                os.fsync(stream.fileno())
            for inner in _folders_of(folder):
                flush(inner)
            target = self.folder(whole["stage"], whole["key"])
            is_first = not target.parent.exists()
            self.own_folder(whole["stage"])
            if os.path.lexists(target):
                self._set_aside(target)
            folder.rename(target)
            flush(target.parent)
            if is_first:
                flush(self.root)
        self._fingerprints(target, digest).keep(files, since=since)
        return Artifact(target, whole)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what broken builds left and no process works on, and what was set aside."""
        for folder in (".partial", ".unfinished", ".damaged"):
            if not os.path.lexists(self.root / folder):
                continue
            for path in self.own_folder(folder).glob("*"):
                if not self.is_locked(path.name):
                    with suppress(FileNotFoundError):  # another process removed it meanwhile
                        yield Leftover(f"{folder}/{path.name}", _size(path), path.lstat().st_mtime)

    def discard(self, places: Sequence[str]) -> None:
        """Delete artifacts and leftovers; each is moved aside first, so that none is half there."""
        with self.guarded_writes():
            trash = self.own_folder(".partial") / f"gc-{time.time_ns()}"
            trash.mkdir()
            for place in places:
                self.own_folder(place.partition("/")[0])
                (self.root / place).rename(trash / place.replace("/", "-"))
                with suppress(OSError):  # no file, or below a link
                    remove(self._fingerprints_file(self.root / place), below=self.root)
            shutil.rmtree(trash)

    def pinned(self) -> set[str]:
        """Return the places, `<stage>/<key>`, of what is never collected."""
        pins = self._refuse_links(self.root / ".pins")
        stages = (path for path in pins.glob("*") if not path.is_symlink())
        return {f"{stage.name}/{path.name}" for stage in stages for path in stage.glob("*")}

    def pin(self, place: str, *, keep: bool = True) -> None:
        """Never collect an artifact and what it was made from; or, unless keep, do again."""
        path = self.root / ".pins" / place
        with self.guarded_writes():
            self.own_folder(".pins")
            self.own_folder(f".pins/{path.parent.name}")
            if keep:
                os.close(open_regular(path, os.O_WRONLY | os.O_CREAT, below=self.root))
            else:
                path.unlink(missing_ok=True)

    def _manifest_files(self) -> list[tuple[tuple[str, str], Path]]:
        """Return stage, key and path of every manifest; names that are neither are strangers'."""
        stages = (path for path in self.root.glob("[!.]*") if not path.is_symlink())
        paths = sorted(path for stage in stages for path in stage.glob(f"*/{MANIFEST}"))
        places = (path.parent.relative_to(self.root).as_posix() for path in paths)
        return [
            ((path.parents[1].name, path.parent.name), path)
            for path, place in zip(paths, places, strict=True)
            if _PLACE.fullmatch(place)
        ]

    def _verified(self, folder: Path, *, unless_unchanged: bool = False) -> Artifact:
        """Return a whole artifact; raises ArtifactDamaged.

        unless_unchanged: whether to pass over files that nothing wrote to since they were hashed.
        """
        since = time.time_ns()
        manifest = read_manifest(folder / MANIFEST, below=self.root)
        files = manifest["files"]
        digest = sha256_of({name: entry["sha256"] for name, entry in files.items()})
        expected = (folder.parent.name, folder.name, digest)
        if (manifest["stage"], manifest["key"], manifest["digest"]) != expected:
            raise ArtifactDamaged(f"{folder}: the manifest describes another artifact")
        found = {path.relative_to(folder).as_posix() for path in _files_below(folder)} - {MANIFEST}
        if found != set(files):
            raise ArtifactDamaged(
                f"{folder}: expected files {sorted(files)}, found {sorted(found)}"
            )
        fingerprints = self._fingerprints(folder, digest)
        for name, entry in files.items():
            path = folder / name
            try:
                passed = unless_unchanged and fingerprints.unchanged(name)
                same = passed or read_sha256(path) == entry["sha256"]
            except OSError as problem:
                raise ArtifactDamaged(f"{path}: unreadable ({problem})") from problem
            if not same:
                fingerprints.forget()
                raise ArtifactDamaged(f"{path}: its bytes are not those published")
        if unless_unchanged:  # else reading a store would write to it
            fingerprints.keep(files, since=since)
        return Artifact(folder, manifest)

    def _fingerprints(self, folder: Path, digest: str) -> Fingerprints:
        return Fingerprints(self._fingerprints_file(folder), folder, digest, below=self.root)

    def _fingerprints_file(self, folder: Path) -> Path:
        return self.root / ".verified" / f"{folder.parent.name}-{folder.name}"

    def _set_aside(self, folder: Path) -> None:
        name = f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        with self.guarded_writes():
            aside = self.own_folder(".damaged") / name
            with suppress(FileNotFoundError):  # another process set it aside first
                self._refuse_links(folder.parent)
                folder.rename(aside)

    @contextmanager
    def guarded_writes(self) -> Iterator[None]:
        """Turn a full disk or a read-only store into StoreUnusable, which says what to do."""
        try:
            yield
        except OSError as problem:
            reasons = {
                errno.ENOSPC: "the disk is full; free space",
                errno.EDQUOT: "the disk quota is used up; free space",
                errno.EROFS: "the file system is read-only; mend it or choose another --store",
                errno.EACCES: "writing is not permitted; choose another --store",
                errno.ENOTDIR: "a file or link is in the way; move it or choose another --store",
                errno.EEXIST: "a file is in the way; move it or choose another --store",
                errno.ENAMETOOLONG: "the path is too long; choose another --store",
                errno.EISDIR: "a folder is in the way; move it or choose another --store",
                errno.EINVAL: "no regular file is there; move it or choose another --store",
                errno.ENXIO: "no regular file is there; move it or choose another --store",
                errno.ELOOP: "a link is in the way; move it or choose another --store",
            }
            name = problem.filename if isinstance(problem.filename, str) else ""
            elsewhere = name and not Path(name).is_relative_to(self.root)
            if problem.errno not in reasons or elsewhere:
                raise
            place = Path(name) if name else self.root
            raise StoreUnusable(
                f"store {place}: {reasons[problem.errno]} and run the same command again "
                "(nothing finished is lost)"
            ) from problem
