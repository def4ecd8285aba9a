"""Which flow runs still have a living process, and which this user has begun on this machine.

The kernel frees a run's lock in its store when its process dies. What is in the folder of the locks
may come from others who write to the store.

A run on a server says nothing about who began it, and `recover` runs no others again here. So each
leaves a file in Prefect's home while it is at work. Its name is the digest of the flow and its
parameters. Only the user can write one, and nothing runs again that the user had not run before.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from flowers17.artifacts import Store
from flowers17.errors import Flowers17Error
from flowers17.files import open_regular, remove
from flowers17.stages import within_run
from tasks.own_files import own_file, own_folder, prefect_home

KEPT_S = 14 * 24 * 3600.0  # what killed runs left, as long as `gc` keeps their checkpoints
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
        store.own_folder(path.parent.name)
        forget_dead(store, digest)
        remove(fresh, below=store.root)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        stream = os.fdopen(open_regular(fresh, flags, below=store.root), "w")
    with stream, recorded(digest), within_run(flow_run_id):
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
                remove(path, below=store.root)


def died(store: Store, flow_run_id: str) -> bool:
    """Whether a flow run was registered in this store and its process is gone."""
    lock = _read(store, flow_run_id)
    return lock is not None and not lock.is_held


def lives(store: Store, flow_run_id: str) -> bool:
    """Whether a flow run is registered in this store and has a living process."""
    lock = _read(store, flow_run_id)
    return lock is not None and lock.is_held


def living(store: Store) -> list[str]:
    """Flow runs that are registered in this store and have a living process."""
    return [name for name, lock in _locks(store).items() if lock.is_held]


def dead(store: Store) -> dict[str, str]:
    """Digests of runs that are registered in this store and whose process is gone."""
    return {name: lock.digest for name, lock in _locks(store).items() if not lock.is_held}


def forget(store: Store, flow_run_id: str) -> None:
    """Remove what a dead flow run left, unless its lock lies behind a link."""
    with suppress(NotADirectoryError):
        remove(_lock_path(store, flow_run_id), below=store.root)


def forget_dead(store: Store, digest: str | None = None) -> None:
    """Remove what dead runs left: those that were asked for the same, and old ones."""
    for name, lock in _locks(store, also_fresh=True).items():
        if not lock.is_held and (lock.digest == digest or lock.age_s > KEPT_S):
            remove(_lock_path(store, name), below=store.root)


def _locks(store: Store, *, also_fresh: bool = False) -> "dict[str, _Lock]":
    """Locks by their runs, none if their folder is a link; also_fresh: those not yet taken, too."""
    folder = store.root / ".runs"
    if folder.is_symlink() or not folder.is_dir():
        return {}
    names = sorted(path.name for path in folder.iterdir() if _LOCK.fullmatch(path.name))
    locks = {name: _read(store, name) for name in names if also_fresh or name[0] != "."}
    return {name: lock for name, lock in locks.items() if lock}


class _Lock(NamedTuple):
    """A lock file: whether a process holds it, the digest of its run, seconds since its start."""

    is_held: bool
    digest: str
    age_s: float


def _read(store: Store, flow_run_id: str) -> _Lock | None:
    """Return a run's lock if there is one; something else that lies there belongs to no run."""
    try:
        descriptor = open_regular(_lock_path(store, flow_run_id), below=store.root)
    except OSError:
        return None
    stream = os.fdopen(descriptor, errors="replace")
    with stream:
        age_s = time.time() - os.fstat(stream.fileno()).st_mtime
        try:
            # Shared, since NFS grants an exclusive one only on a file opened to be written to.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _Lock(True, "", age_s)
        return _Lock(False, stream.read(256), age_s)


def run_digest(flow: str, parameters: Mapping[str, Any]) -> str:
    """Digest of a run's flow and parameters; these are as the server holds them."""
    call = {"flow": flow, "parameters": parameters}
    return sha256(json.dumps(call, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _record(digest: str) -> Path:
    return prefect_home() / "flowers17-runs" / digest


@contextmanager
def recorded(digest: str) -> Iterator[None]:
    """Keep a run on record until it ends by itself; a killed one stays on record."""
    path = _record(digest)
    with suppress(OSError, Flowers17Error):  # no record can be made: the run goes on without
        for other in own_folder(path.parent).iterdir():
            is_record = re.fullmatch("[0-9a-f]{64}", other.name)
            if is_record and other.lstat().st_mtime < time.time() - KEPT_S:
                other.unlink()
        with os.fdopen(own_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as stream:
            stream.write(digest)
    try:
        yield
    finally:
        forget_record(digest)


def is_recorded(digest: str) -> bool:
    """Whether this user began such a run here that did not end by itself."""
    try:
        with os.fdopen(own_file(_record(digest), os.O_RDONLY), errors="replace") as stream:
            return stream.read(2 * len(digest)) == digest  # no other file of the user, linked here
    except (OSError, Flowers17Error):
        return False


def forget_record(digest: str) -> None:
    """Remove a record, if there is one."""
    with suppress(OSError):
        _record(digest).unlink()
