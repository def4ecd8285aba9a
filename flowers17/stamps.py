"""What tells that nobody wrote to a file since it was found whole, without reading it again.

A stamp is a file's inode, size and times of change. Every write changes it, and so do a copy, a
restored backup, and a file that takes its name. It says nothing of a disk that forgets by itself.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

Stamp = list[int]
SETTLED_NS = 20_000_000  # times of change come from a clock that ticks every 1 to 10 ms


def stamp(path: Path) -> Stamp:
    """Return a file's stamp."""
    status = path.lstat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Stamps:
    """The stamps of the files in a folder, kept in a file elsewhere.

    content: digest of what the files were found to hold. Stamps of another content don't count,
    nor do any that cannot be read; where they cannot be written, it is done without them.
    """

    def __init__(self, path: Path, folder: Path, content: str) -> None:
        self._path, self._folder, self._content = path, folder, content
        self._known = self._read()

    def unchanged(self, name: str) -> bool:
        """Return whether a file is as it was when it was found whole."""
        known = self._known or {}
        return name in known and stamp(self._folder / name) == known[name]

    def keep(self, names: Iterable[str], *, since: int) -> None:
        """Remember files that were found whole; since: when that began, in ns since 1970.

        One that was written to just before is not remembered: a write right after might not show.
        """
        with suppress(OSError):
            found = {name: stamp(self._folder / name) for name in names}
            settled = {name: one for name, one in found.items() if one[3] + SETTLED_NS < since}
            if settled != self._known:
                self._write(settled)

    def forget(self) -> None:
        """Let every file be read again."""
        with suppress(OSError):
            self._path.unlink()

    def _read(self) -> Mapping[str, Stamp] | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_text())
            if kept["content"] == self._content:
                return dict(kept["stamps"])
        return None

    def _write(self, stamps: Mapping[str, Stamp]) -> None:
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps({"content": self._content, "stamps": stamps}))
