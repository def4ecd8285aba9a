"""Which flow runs still have a living process: the kernel frees a run's lock when it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowers17.artifacts import Store


def _lock_path(store: Store, flow_run_id: str) -> Path:
    return store.root / ".runs" / flow_run_id


@contextmanager
def registered(store: Store, flow_run_id: str | None) -> Iterator[None]:
    """Hold the lock of a flow run while it lives; the file is removed when it ends."""
    if not flow_run_id:
        yield
        return
    path = _lock_path(store, flow_run_id)
    fresh = path.with_name(f".{path.name}")
    with store.guarded_writes():
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = fresh.open("w")
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        fresh.rename(path)  # locked first: nobody sees the file of a living run unlocked
        try:
            yield
        finally:
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


def forget(store: Store, flow_run_id: str) -> None:
    """Remove what a dead flow run left."""
    _lock_path(store, flow_run_id).unlink(missing_ok=True)
