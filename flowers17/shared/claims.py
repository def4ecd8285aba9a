"""The claim on one artifact of a shared store: the lease of its build, and copies of checkpoints.

A lease is the right to build it, where there is no kernel lock between machines: an object
`.locks/<name>/<generation>`. Generation n + 1 is created, by one process only, once n is released
or has expired; nothing is ever deleted. Its holder overwrites it from a thread to renew it. It has
expired if another process has watched it for the time that it names without seeing it change, so
no two machines' clocks are compared.
"""

import json
import logging
import os
import stat
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flowers17.digests import canonical_json
from flowers17.errors import InvalidSettings, StoreUnusable
from flowers17.files import read_regular, refuse_links, replacing
from flowers17.manifests import is_safe
from flowers17.shared.remote import Remote

EXPIRY_S = 60.0
EXPIRY_VARIABLE = "FLOWERS17_LEASE_S"
LONGEST_S = 24 * 3600.0
RENEWALS = 4  # within the time after which it expires
PAUSES_S = (0.2, 5.0)  # between looks at another's lease: the first, the longest
# Files that their writers rename once they are whole, and kernel locks.
_PASSING = (".part", ".partial")
_LOCK = "lock"
Version = tuple[int, int]  # size in bytes, time of change in ns
logger = logging.getLogger(__name__)


def expiry_s() -> float:
    """Seconds without renewal after which a lease expires; raises InvalidSettings."""
    text = os.environ.get(EXPIRY_VARIABLE, "")
    with suppress(ValueError):
        seconds = float(text or EXPIRY_S)
        if 0.1 <= seconds <= LONGEST_S:
            return seconds
    raise InvalidSettings(f"{EXPIRY_VARIABLE}: expected 0.1 to 86400 seconds, got {text!r}")


class Lease:
    """The lease of a name, a context manager that waits for it, renews it and releases it.

    note: a file on this machine's disk, read and written under a kernel lock. It names the owner of
    the last lease that a process here held. Whoever holds the kernel lock knows that this owner is
    dead, and takes its lease over without waiting.
    """

    def __init__(self, remote: Remote, name: str, note: Path) -> None:
        self._remote, self._folder, self._note = remote, f".locks/{name}", note
        self._expiry = expiry_s()
        self._owner = uuid.uuid4().hex
        self._until, self._is_lost = 0.0, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)
        self.generation = 0

    @property
    def is_held(self) -> bool:
        """Whether no other process can have taken the lease over yet."""
        return not self._is_lost and time.monotonic() < self._until

    def __enter__(self) -> "Lease":
        self._acquire()
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()  # a renewal under way would undo the release
        if not self._is_lost:
            try:
                self._remote.write(self._object(self.generation), self._text(released=True))
            except StoreUnusable as error:
                logger.warning("%s; the lease %s is left to expire", error, self._folder)

    def _acquire(self) -> None:
        pause, longest = PAUSES_S
        last: tuple[int, bytes] = (0, b"")
        since, is_logged = time.monotonic(), False
        while True:
            names = (name.rpartition("/")[2] for name in self._remote.listing(self._folder))
            newest = max((int(name) for name in names if name.isdecimal()), default=0)
            state = (self._remote.read(self._object(newest)) or b"") if newest else b""
            if (newest, state) != last:
                last, since = (newest, state), time.monotonic()
            lease = _parsed(state)
            waited = time.monotonic() - since
            is_free = not newest or lease.get("released") or self._is_of_a_dead_process(lease)
            if is_free or waited > lease.get("expires_s", self._expiry):
                with replacing(self._note) as stream:
                    stream.write(self._owner.encode())
                started = time.monotonic()
                if not self._remote.create(self._object(newest + 1), self._text()):
                    continue  # another process created it first
                self.generation, self._until = newest + 1, started + self._expiry
                return
            if not is_logged:
                logger.info("waiting for another machine, which has the lease %s", self._folder)
                is_logged = True
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _renew(self) -> None:
        is_failing = False
        while not self._ended.wait(self._expiry / RENEWALS):
            started = time.monotonic()
            try:
                if self._remote.read(self._object(self.generation + 1)) is not None:
                    self._is_lost = True
                    logger.warning(
                        "another machine has taken over the lease %s, which was not renewed in "
                        "time; what is built here counts only if it is there first",
                        self._folder,
                    )
                    return
                self._remote.write(self._object(self.generation), self._text(beat=started))
            except StoreUnusable as problem:
                if not is_failing:
                    logger.warning("%s; the lease %s is tried again", problem, self._folder)
                is_failing = True
                continue
            is_failing, self._until = False, started + self._expiry

    def _object(self, generation: int) -> str:
        return f"{self._folder}/{generation:06d}"

    def _text(self, **state: float | bool) -> bytes:
        lease = {"owner": self._owner, "expires_s": self._expiry, **state}
        return canonical_json(lease).encode()

    def _is_of_a_dead_process(self, lease: dict[str, object]) -> bool:
        with suppress(FileNotFoundError):
            return lease.get("owner") == read_regular(self._note).decode()
        return False


def _parsed(state: bytes) -> dict:
    """The fields of a lease; empty for any other object, which expires after `expiry_s`."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        lease = json.loads(state)
        if isinstance(lease, dict) and 0.1 <= lease["expires_s"] <= LONGEST_S:
            return lease
    return {}


class Mirror:
    """Checkpoints of a build: a folder's files, copied to objects while the context is open.

    So another machine can continue the build. `fetch` gives the folder the files that it lacks. At
    the end the folder is copied once more: objects whose file was deleted are deleted.
    is_held: whether this process may still write there.
    """

    def __init__(
        self, remote: Remote, name: str, folder: Path, is_held: Callable[[], bool], every_s: float
    ) -> None:
        self._remote, self._name, self._folder = remote, name, folder
        self._is_held, self._every_s = is_held, every_s
        self._sent: dict[str, Version] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_copying, name=name, daemon=True)

    def fetch(self) -> None:
        """Give the folder the files that it lacks, or has in another size."""
        start = len(self._name) + 1
        objects = {name[start:]: info for name, info in self._remote.listing(self._name).items()}
        files = self._files()
        missing = [
            name
            for name, info in objects.items()
            if is_safe(name) and (name not in files or files[name][0] != info.size)
        ]
        for name in missing:
            refuse_links(self._folder / name, below=self._folder)
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        partial = {name: self._folder / f"{name}.partial" for name in missing}
        self._remote.download({f"{self._name}/{name}": path for name, path in partial.items()})
        for name, path in partial.items():
            path.rename(self._folder / name)
        files = self._files()
        self._sent = {name: files[name] for name in objects if name in files}

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()
        self._copy()

    def _keep_copying(self) -> None:
        while not self._ended.wait(self._every_s):
            self._copy()

    def _copy(self) -> None:
        try:
            files = self._files()
            # In the order in which they were written: a checkpoint's manifest after its arrays.
            for name in sorted(files, key=lambda name: files[name][1]):
                if self._sent.get(name) != files[name] and self._is_held():
                    try:
                        self._remote.upload({f"{self._name}/{name}": self._folder / name})
                        self._sent[name] = files[name]
                    except StoreUnusable:
                        if (self._folder / name).exists():  # else it was removed meanwhile
                            raise
            deleted = [name for name in self._sent if name not in files]
            if deleted and self._is_held():
                self._remote.remove([f"{self._name}/{name}" for name in deleted])
                for name in deleted:
                    del self._sent[name]
        except StoreUnusable as problem:
            logger.warning("%s; what is unfinished stays on this machine for now", problem)

    def _files(self) -> dict[str, Version]:
        versions = {}
        for folder, _, names in os.walk(self._folder):
            for path in (Path(folder, name) for name in names):
                if path.name == _LOCK or path.suffix in _PASSING:
                    continue
                with suppress(FileNotFoundError):  # removed meanwhile
                    status = path.lstat()
                    name = path.relative_to(self._folder).as_posix()
                    if stat.S_ISREG(status.st_mode):  # the target of a link is no file of the build
                        versions[name] = (status.st_size, status.st_mtime_ns)
        return versions
