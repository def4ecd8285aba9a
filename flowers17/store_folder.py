"""A folder to which several processes write: its own folders, its locks, and what goes wrong there.

Locks are kernel locks in `.locks/`: the kernel frees them when their process dies, however it dies.
Files are opened without following links, and only regular ones; a folder of the store's own that is
a link is refused. The root may be a link.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowers17.errors import StoreUnusable
from flowers17.files import open_regular, refuse_links, size_of

OWN_FOLDERS = (".locks", ".partial", ".unfinished", ".damaged", ".verified", ".pins")
_IN_THE_WAY = "is in the way; move it or choose another --store"
_NOT_REGULAR = "no regular file is there; move it or choose another --store"
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free space",
    errno.EDQUOT: "the disk quota is used up; free space",
    errno.EROFS: "the file system is read-only; mend it or choose another --store",
    errno.EACCES: "writing is not permitted; choose another --store",
    errno.ENOTDIR: f"a file or link {_IN_THE_WAY}",
    errno.EEXIST: f"a file {_IN_THE_WAY}",
    errno.ENAMETOOLONG: "the path is too long; choose another --store",
    errno.EISDIR: f"a folder {_IN_THE_WAY}",
    errno.EINVAL: _NOT_REGULAR,
    errno.ENXIO: _NOT_REGULAR,
    errno.ELOOP: f"a link {_IN_THE_WAY}",
}


@dataclass(frozen=True)
class Leftover:
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
