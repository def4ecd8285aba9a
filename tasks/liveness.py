"""Which flow runs still have a living process: the kernel frees a run's lock when it dies.

What is in the folder of the locks may come from others who write to the store.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowers17.artifacts import Store
from flowers17.errors import Flowers17Error
from tasks.own_files import regular_file
from tasks.own_runs import KEPT_S, recorded

_LOCK = re.compile(r"\.?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_held: set[Path] = set()  # by this process


def _lock_path(store: Store, flow_run_id: str) -> Path:
    return store.root / ".runs" / flow_run_id


@contextmanager
def registered(store: Store, flow_run_id: str, digest: str) -> Iterator[None]:
    """Hold the lock of a flow run while it lives; the file is removed when it ends.

    digest: of the run's flow and parameters; locks of dead runs of the same digest are removed.
    Inside of another one for the same run it does nothing.
    """
    path = _lock_path(store, flow_run_id)
    if path in _held:
        yield
        return
    fresh = path.with_name(f".{path.name}")
    with store.guarded_writes():
        path.parent.mkdir(parents=True, exist_ok=True)
        forget_dead(store, digest)
        descriptor = regular_file(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        stream = os.fdopen(descriptor, "w")
    with stream, recorded(digest):
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(digest)
        stream.flush()
        fresh.rename(path)  # locked first: nobody sees the file of a living run unlocked
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            with suppress(OSError):  # the store may be read-only by now, which is told as it is
                path.unlink(missing_ok=True)


def died(store: Store, flow_run_id: str) -> bool:
    """Whether a flow run was registered in this store and its process is gone."""
    lock = _read(_lock_path(store, flow_run_id))
    return lock is not None and not lock.is_held


def lives(store: Store, flow_run_id: str) -> bool:
    """Whether a flow run is registered in this store and has a living process."""
    lock = _read(_lock_path(store, flow_run_id))
    return lock is not None and lock.is_held


def living(store: Store) -> list[str]:
    """Flow runs that are registered in this store and have a living process."""
    names = sorted(path.name for path in (store.root / ".runs").glob("[!.]*"))
    return [name for name in names if lives(store, name)]


def forget(store: Store, flow_run_id: str) -> None:
    """Remove the lock of a dead flow run."""
    _lock_path(store, flow_run_id).unlink(missing_ok=True)


def forget_dead(store: Store, digest: str | None = None) -> None:
    """Remove locks of dead runs: those of the digest, and old ones."""
    for path in (store.root / ".runs").glob("*"):
        if not _LOCK.fullmatch(path.name):  # not ours: the folder may be a link to another one
            continue
        lock = _read(path)
        if lock and not lock.is_held and (lock.digest == digest or lock.age_s > KEPT_S):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Lock:
    """A lock file: whether a process holds it, the digest of its run, seconds since its start."""

    is_held: bool
    digest: str
    age_s: float


def _read(path: Path) -> _Lock | None:
    """Lock of a run, if there is one; something else that lies there belongs to no run."""
    try:
        stream = os.fdopen(regular_file(path, os.O_RDONLY), errors="replace")
    except (FileNotFoundError, Flowers17Error):
        return None
    with stream:
        age_s = time.time() - os.fstat(stream.fileno()).st_mtime
        try:
            # Shared, since NFS grants an exclusive one only on a file opened to be written to.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _Lock(True, "", age_s)
        return _Lock(False, stream.read(256), age_s)
