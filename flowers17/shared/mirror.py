"""Checkpoints of a build, copied to the storage, so that another machine can continue it."""

import logging
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flowers17.errors import StoreUnusable
from flowers17.files import refuse_links
from flowers17.manifests import is_safe
from flowers17.shared.remote import Remote

# Files that their writers rename once they are whole, and kernel locks.
_PASSING = (".part", ".partial")
_LOCK = "lock"
Version = tuple[int, int]  # size in bytes, time of change in ns
logger = logging.getLogger(__name__)


class Mirror:
    """A folder's files, copied to objects by a thread while the context is open.

    `fetch` gives the folder the files that it lacks. At the end the folder is copied once more:
    objects whose file was deleted are deleted. is_held: whether this process may still write there.
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
                if self._sent.get(name) != files[name]:
                    self._send(name, files[name])
            deleted = [name for name in self._sent if name not in files]
            if deleted and self._is_held():
                self._remote.remove([f"{self._name}/{name}" for name in deleted])
                for name in deleted:
                    del self._sent[name]
        except StoreUnusable as problem:
            logger.warning("%s; what is unfinished stays on this machine for now", problem)

    def _send(self, name: str, version: Version) -> None:
        path = self._folder / name
        if not self._is_held():
            return
        try:
            self._remote.upload({f"{self._name}/{name}": path})
        except StoreUnusable:
            if path.exists():
                raise
            return  # it was removed meanwhile
        self._sent[name] = version

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
