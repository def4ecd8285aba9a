"""Encoded images as a source holds them, before they are decoded, and folders of them."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flowers17.data.names import listed, not_image
from flowers17.errors import InvalidInput, UnusableImage

MAX_IMAGE_BYTES = 64 * 2**20
MAX_FILES = 5_000_000

Content = bytes | UnusableImage  # of a file, or why it cannot be read
FileState = tuple[str, int, int, int]  # path, bytes, time of the last change in ns, inode


class ImageFile(NamedTuple):
    """An image of a source, and its content once that is read.

    path: in the source, or as a table calls it. part: `train`, `validation` or `test` where the
    source divides its images itself, else empty. group: name shared by images that must stay on one
    side (a patient, a plant, a day), or empty. Set by a layout: name, without the folders that all
    share; label, the index of the class; row, the place among all images by label, then name.
    sha256: of the content.
    """

    path: str
    class_name: str
    part: str = ""
    group: str = ""
    name: str = ""
    label: int = 0
    row: int = 0
    data: Content = b""
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """Files of a folder or archive, by their paths in it, with slashes.

    digests: of those that may be images, where listing them reads them anyway; tables: contents
    of those that may be tables, likewise.
    """

    files: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, bytes] = field(default_factory=dict)


def content_digest(content: Content) -> str:
    """SHA-256 of a file's bytes, or of the reason why it cannot be read."""
    data = content if isinstance(content, bytes) else content.kind.encode()
    return hashlib.sha256(data).hexdigest()


def file_content(path: Path, name: str) -> Content:
    """Bytes of a regular file of bounded size, or why it cannot be used; name: for people."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return UnusableImage(name, "expected an image, got a special file; remove it")
        with path.open("rb") as stream:
            data = stream.read(MAX_IMAGE_BYTES + 1)
    except (OSError, ValueError) as problem:  # ValueError: a path with a null byte
        reason = getattr(problem, "strerror", None) or problem
        kind = f"expected an image, got what cannot be read ({reason}); check its permissions"
        return UnusableImage(name, kind)
    return data if len(data) <= MAX_IMAGE_BYTES else too_large(name)


def too_large(name: str) -> UnusableImage:
    """Reason why a large file is not read."""
    return UnusableImage(
        name, f"expected at most {MAX_IMAGE_BYTES:,} bytes, got more; make the image smaller"
    )


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
                status: os.stat_result | None = None
                target: Path | None = None
                with suppress(OSError):  # a link that leads nowhere has no state
                    status = entry.stat()
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
            yield path, file_content(self.path / path, path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as problem:
        raise InvalidInput(f"folder {folder}: cannot be read ({problem.strerror})") from problem
