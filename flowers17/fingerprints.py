"""File fingerprints, which show whether anything wrote to a file since it was verified.

A fingerprint is a file's inode, size and times of change. Every write changes it, and so do a
copy, a restored backup, and a file that takes its name. It does not
show damage by the disk itself.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from flowers17.files import open_regular, read_regular, remove

Fingerprint = list[int]
_LARGEST = 32 * 2**20  # bytes
SETTLED_NS = 20_000_000  # times of change come from a clock that ticks every 1 to 10 ms


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
        self._known = self._read()

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
            if settled != self._known:
                self._write(settled)

    def forget(self) -> None:
        """Let every file be read again."""
        with suppress(OSError):
            remove(self._path, below=self._below)

    def _read(self) -> Mapping[str, Fingerprint] | None:
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            record = json.loads(read_regular(self._path, below=self._below, at_most=_LARGEST))
            if record["content"] == self._content:
                return dict(record["fingerprints"])
        return None

    def _write(self, fingerprints: Mapping[str, Fingerprint]) -> None:
        self._path.parent.mkdir(exist_ok=True)
        remove(self._path, below=self._below)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(open_regular(self._path, flags, below=self._below), "w") as stream:
            json.dump({"content": self._content, "fingerprints": fingerprints}, stream)
