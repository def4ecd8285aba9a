"""Folders as people have them: their files, and what those hold."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowers17.data.encoded import MAX_IMAGE_BYTES, Content, FileState, Listing, too_large
from flowers17.data.names import listed, not_image
from flowers17.errors import InvalidInput, UnusableImage

MAX_FILES = 5_000_000


@dataclass(frozen=True)
class Folder:
    """A folder and all below it. follows_links: also those that lead out of it."""

    path: Path
    follows_links: bool = False

    def states(self) -> tuple[tuple[FileState, ...], tuple[str, ...]]:
        """State of each file, by which a change is noticed, and the folders without any file.

        Both are sorted. Hidden folders and the like stand for what is in them.
        Raises InvalidInput if a folder cannot be read, or a link leads out and is not followed.
        """
        states: list[FileState] = []
        empty: list[str] = []
        outward: list[str] = []
        root = self.path.resolve()
        waiting: list[tuple[str, tuple[Path, ...]]] = [("", (root,))]
        while waiting:
            folder, ancestors = waiting.pop()
            n_before = len(states) + len(waiting)
            for entry in _entries(self.path / folder):
                path = f"{folder}{entry.name}"
                status, target = _status(entry), None
                if entry.is_symlink() and status and not not_image(f"{path}/x"):
                    target = Path(entry.path).resolve()
                    if not (self.follows_links or target.is_relative_to(root)):
                        outward.append(path)
                        continue
                if not status or not stat.S_ISDIR(status.st_mode) or not_image(f"{path}/x"):
                    state = (status.st_size, status.st_mtime_ns, status.st_ino) if status else ()
                    states.append((path, *(state or (0, 0, 0))))
                elif target in ancestors:
                    raise InvalidInput(
                        f"{entry.path}: expected a folder, got a link to a folder around it; "
                        "remove the link"
                    )
                else:
                    waiting.append((f"{path}/", (*ancestors, target) if target else ancestors))
            if len(states) + len(waiting) == n_before and folder:
                empty.append(folder.rstrip("/"))
            if len(states) > MAX_FILES:
                raise InvalidInput(f"folder {self.path}: expected at most {MAX_FILES:,} files")
        if outward:
            raise InvalidInput(
                f"folder {self.path}: expected files of this folder, got symbolic links that leave "
                f"it: {listed(sorted(outward))}; set dataset.links=follow if they are yours, or "
                "copy the files"
            )
        return tuple(sorted(states)), tuple(sorted(empty))

    def listing(self, states: Sequence[FileState]) -> Listing:
        """Names of all files."""
        return Listing(tuple(state[0] for state in states))

    def contents(self, paths: Collection[str]) -> Iterator[tuple[str, Content]]:
        """Yield files and what they hold, in the order given."""
        for path in paths:
            yield path, self._content(path)

    def _content(self, path: str) -> Content:
        try:
            place = self.path / path
            if not stat.S_ISREG(place.stat().st_mode):
                return UnusableImage(path, "expected an image, got a special file; remove it")
            with place.open("rb") as stream:
                data = stream.read(MAX_IMAGE_BYTES + 1)
        except OSError as problem:
            return UnusableImage(
                path, f"cannot be read ({problem.strerror}); check its permissions"
            )
        return data if len(data) <= MAX_IMAGE_BYTES else too_large(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as problem:
        raise InvalidInput(f"folder {folder}: cannot be read ({problem.strerror})") from problem


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """State of the file behind an entry, or None if there is none: a link that leads nowhere."""
    try:
        return entry.stat()
    except OSError:
        return None
