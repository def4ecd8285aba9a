"""What a build has not finished, copied to the storage, so that another machine can go on."""

import logging
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from flowers17.errors import StoreUnusable
from flowers17.files import refuse_links
from flowers17.manifests import is_safe
from flowers17.shared.remote import Remote

# Files that their writers rename once they are whole, and kernel locks.
_PASSING = (".part", ".partial")
_LOCK = "lock"
Mark = tuple[int, int]
logger = logging.getLogger(__name__)


class Mirror:
    """A folder's files, kept as objects too; use it as a context, in which a thread copies.

    At the start the folder is given the files that it lacks. At the end it is copied once more:
    what is gone from the folder goes from the storage. is_held: whether we may still write there.
    """

    def __init__(
        self, remote: Remote, name: str, folder: Path, is_held: Callable[[], bool], every_s: float
    ) -> None:
        self._remote, self._name, self._folder = remote, name, folder
        self._is_held, self._every_s = is_held, every_s
        self._sent: dict[str, Mark] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_copying, name=name, daemon=True)

    def fetch(self) -> None:
        """Give the folder the files that it lacks, or has in another size."""
        start = len(self._name) + 1
        there = {name[start:]: one for name, one in self._remote.listed(self._name).items()}
        here = self._here()
        wanted = [
            name
            for name, one in there.items()
            if is_safe(name) and (name not in here or here[name][0] != one.size)
        ]
        for name in wanted:
            refuse_links(self._folder / name, below=self._folder)
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        partial = {name: self._folder / f"{name}.partial" for name in wanted}
        self._remote.download({f"{self._name}/{name}": path for name, path in partial.items()})
        for name, path in partial.items():
            path.rename(self._folder / name)
        here = self._here()
        self._sent = {name: here[name] for name in there if name in here}

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._copy()

    def _keep_copying(self) -> None:
        while not self._ended.wait(self._every_s):
            self._copy()

    def _copy(self) -> None:
        try:
            here = self._here()
            # In the order in which they were written: a checkpoint's manifest after its arrays.
            for name in sorted(here, key=lambda one: here[one][1]):
                if self._sent.get(name) != here[name]:
                    self._send(name, here[name])
            gone = [name for name in self._sent if name not in here]
            if gone and self._is_held():
                self._remote.remove([f"{self._name}/{name}" for name in gone])
                for name in gone:
                    del self._sent[name]
        except StoreUnusable as problem:
            logger.warning("%s; what is unfinished stays on this machine for now", problem)

    def _send(self, name: str, mark: Mark) -> None:
        path = self._folder / name
        if not self._is_held():
            return
        try:
            self._remote.upload({f"{self._name}/{name}": path})
        except StoreUnusable:
            if path.exists():
                raise
            return  # it was removed meanwhile
        self._sent[name] = mark

    def _here(self) -> dict[str, Mark]:
        found = {}
        for folder, _, names in os.walk(self._folder):
            for path in (Path(folder, name) for name in names):
                if path.name == _LOCK or path.suffix in _PASSING:
                    continue
                with suppress(FileNotFoundError):  # removed while we looked
                    status = path.lstat()
                    name = path.relative_to(self._folder).as_posix()
                    if stat.S_ISREG(status.st_mode):  # what a link leads to is none of the build's
                        found[name] = (status.st_size, status.st_mtime_ns)
        return found
