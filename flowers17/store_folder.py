"""A folder to which several processes write: its own folders, its locks, and what goes wrong there.

Locks are kernel locks in `.locks/`: the kernel frees them when their process dies, however it dies.
Files are opened without following links, and only regular ones; a folder of the store's own that is
a link is refused. The root may be a link.

File fingerprints show whether anything wrote to a file since it was verified: inode, size and times
of change. Every write changes them, and so do a copy, a restored backup, and a file that takes its
name. They do not show damage by the disk itself.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from flowers17.errors import StoreUnusable
from flowers17.files import open_regular, read_regular, refuse_links, remove, size_of, yaml_beside

OWN_FOLDERS = (".locks", ".partial", ".unfinished", ".damaged", ".verified", ".pins")
Fingerprint = list[int]
_LARGEST = 32 * 2**20  # bytes
SETTLED_NS = 20_000_000  # times of change come from a clock that ticks every 1 to 10 ms
_REMEDIES = {
    getattr(errno, name): remedy for name, remedy in yaml_beside(__file__, "remedies.yaml").items()
}


class Leftover(NamedTuple):
    """Files of a build that did not finish, or of a damaged artifact.

    place: path below the store's root. size: in bytes. changed: in seconds since 1970.
    """

    place: str
    size: int
    changed: float


class StoreFolder:
    """A store's root on this machine: locks, scratch folders and pins below it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()

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

    def is_locked(self, name: str) -> bool:
        """Whether some process holds the lock `<stage>-<key>`."""
        try:
            descriptor = open_regular(self.root / ".locks" / name, below=self.root)
        except OSError:  # absent, or no lock of the store
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
        """A folder that the store keeps for itself, made if it is not there.

        Raises StoreUnusable if it is a link: what is written there would land elsewhere.
        """
        path = self.root / name
        with self.guarded_writes():
            self.without_links(path)
            path.mkdir(parents=True, exist_ok=True)
        return path

    def without_links(self, path: Path) -> Path:
        """A path below the root; raises StoreUnusable if a link leads, or would lead, there.

        What is moved, read or deleted through a link would be somebody else's.
        """
        with self.guarded_writes():
            return refuse_links(path, below=self.root)

    @contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Path]:
        """Yield an empty folder on the store's own file system; it is removed if not published.

        Call it under the artifact's lock: files of killed builds of the artifact are removed.
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
        """Folder of a build's checkpoints, which outlive the process: the next build continues.

        Raises StoreUnusable if a link is in its place, or anywhere inside.
        """
        folder = self.without_links(self.root / ".unfinished" / f"{stage}-{key}")
        for path in folder.rglob("*"):
            self.without_links(path)
        return folder

    def set_aside(self, folder: Path) -> None:
        """Move a damaged artifact out of the way, for people to look at."""
        name = f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        with self.guarded_writes():
            aside = self.own_folder(".damaged") / name
            with suppress(FileNotFoundError):  # another process set it aside first
                self.without_links(folder.parent)
                folder.rename(aside)

    def leftovers(self) -> Iterator[Leftover]:
        """Files of builds that no process works on, and artifacts that were set aside."""
        for folder in (".partial", ".unfinished", ".damaged"):
            if not os.path.lexists(self.root / folder):
                continue
            for path in self.own_folder(folder).glob("*"):
                if self.is_locked(path.name):
                    continue
                with suppress(FileNotFoundError):  # another process removed it meanwhile
                    yield Leftover(f"{folder}/{path.name}", size_of(path), path.lstat().st_mtime)

    def pinned(self) -> set[str]:
        """The places, `<stage>/<key>`, of artifacts that garbage collection keeps."""
        pins = self.without_links(self.root / ".pins")
        stages = (path for path in pins.glob("*") if not path.is_symlink())
        return {f"{stage.name}/{path.name}" for stage in stages for path in stage.glob("*")}

    def pin(self, place: str, *, keep: bool = True) -> None:
        """Keep an artifact and its inputs from garbage collection; keep=False: no longer."""
        path = self.root / ".pins" / place
        with self.guarded_writes():
            self.own_folder(".pins")
            self.own_folder(f".pins/{path.parent.name}")
            if keep:
                os.close(open_regular(path, os.O_WRONLY | os.O_CREAT, below=self.root))
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def guarded_writes(self) -> Iterator[None]:
        """Turn a full disk or a read-only store into StoreUnusable, which says what to do."""
        try:
            yield
        except OSError as problem:
            name = problem.filename if isinstance(problem.filename, str) else ""
            elsewhere = name and not Path(name).is_relative_to(self.root)
            if problem.errno not in _REMEDIES or elsewhere:
                raise
            raise StoreUnusable(
                f"store {name or self.root}: {_REMEDIES[problem.errno]} and run the same command "
                "again (nothing finished is lost)"
            ) from problem


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of a file; a link is not followed."""
    status = path.lstat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Fingerprints:
    """The fingerprints of the files in a folder, kept in a file elsewhere.

    content: digest of the files' verified content. Fingerprints of other content do not count, nor
    do unreadable ones; where they cannot be written, files are hashed again.
    below: the folder from which on no link is followed.
    """

    def __init__(self, path: Path, folder: Path, content: str, *, below: Path) -> None:
        self._path, self._folder, self._content = path, folder, content
        self._below = below
        self._known: Mapping[str, Fingerprint] | None = None
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            record = json.loads(read_regular(path, below=below, at_most=_LARGEST))
            if record["content"] == content:
                self._known = dict(record["fingerprints"])

    def unchanged(self, name: str) -> bool:
        """Whether nothing wrote to a file since it was verified."""
        known = self._known or {}
        return name in known and fingerprint(self._folder / name) == known[name]

    def keep(self, names: Iterable[str], *, since: int) -> None:
        """Remember verified files; since: the start of the verification, in ns since 1970.

        A file that was written to just before is not remembered: a second write within the clock's
        tick would not show.
        """
        with suppress(OSError):
            prints = {name: fingerprint(self._folder / name) for name in names}
            settled = {
                name: state for name, state in prints.items() if state[3] + SETTLED_NS < since
            }
            if settled == self._known:
                return
            self._path.parent.mkdir(exist_ok=True)
            remove(self._path, below=self._below)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(open_regular(self._path, flags, below=self._below), "w") as stream:
                json.dump({"content": self._content, "fingerprints": settled}, stream)

    def forget(self) -> None:
        """Let every file be read again."""
        with suppress(OSError):
            remove(self._path, below=self._below)
