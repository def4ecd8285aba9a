"""Which flow runs still have a living process: the kernel frees a run's lock when it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowers17.artifacts import Store

_held: set[Path] = set()  # by this process


def _lock_path(store: Store, flow_run_id: str) -> Path:
    return store.root / ".runs" / flow_run_id


@contextmanager
def registered(store: Store, flow_run_id: str | None) -> Iterator[None]:
    """Hold the lock of a flow run while it lives; the file is removed when it ends.

    Inside of another one for the same run it does nothing.
    """
    path = _lock_path(store, flow_run_id or "")
    if not flow_run_id or path in _held:
        yield
        return
    fresh = path.with_name(f".{path.name}")
    with store.guarded_writes():
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = fresh.open("w")
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        fresh.rename(path)  # locked first: nobody sees the file of a living run unlocked
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            with suppress(OSError):  # the store may be read-only by now, which is told as it is
                path.unlink(missing_ok=True)


def died(store: Store, flow_run_id: str) -> bool:
    """Return whether a flow run was registered in this store and its process is gone."""
    try:
        stream = _lock_path(store, flow_run_id).open()
    except FileNotFoundError:
        return False
    with stream:
        try:
            # Shared, since NFS grants an exclusive one only on a file opened to be written to.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def living(store: Store) -> list[str]:
    """Return the flow runs that are registered in this store and have a living process."""
    names = sorted(path.name for path in (store.root / ".runs").glob("[!.]*"))
    return [name for name in names if not died(store, name)]


def forget(store: Store, flow_run_id: str) -> None:
    """Remove what a dead flow run left."""
    _lock_path(store, flow_run_id).unlink(missing_ok=True)
