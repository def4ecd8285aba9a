"""Files that are complete or absent, also after a power cut, and files that others may write.

Where several people write, a name may lead elsewhere: to a link, a pipe, a folder. What is opened
here is a regular file, and nothing is followed, emptied or waited for.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_NEVER_FOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: Path, flags: int = os.O_RDONLY, *, below: Path | None = None) -> int:
    """Descriptor of a regular file; no link is followed on the way to it.

    below: the folder from which on links are refused, and which may be one; None: the file's own.
    Raises OSError, which names the path: ELOOP or ENOTDIR for a link, EISDIR for a folder, EINVAL
    for a pipe or a device.
    """
    with _folder_of(path, below or path.parent) as folder:
        descriptor = os.open(path.name, flags | _NEVER_FOLLOWED, 0o666, dir_fd=folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, "expected a regular file", str(path))
    return descriptor


def remove(path: Path, *, below: Path) -> None:
    """Remove a file or link if it is there; raises OSError for a link on the way, or a folder."""
    with suppress(FileNotFoundError), _folder_of(path, below) as folder:
        os.unlink(path.name, dir_fd=folder)


def refuse_links(path: Path, *, below: Path) -> Path:
    """Return a path that is no link and leads through none; raises OSError otherwise.

    below: as in `open_regular`. What is not there yet is no link.
    """
    for place in (path, *path.parents):
        if place == below:
            break
        if place.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
    return path


@contextmanager
def _folder_of(path: Path, start: Path) -> Iterator[int]:
    """Open the folder of a path from another one on, following no link; name the path in errors."""
    try:
        folder = os.open(start, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for parent in path.parent.relative_to(start).parts:
                inner = os.open(parent, os.O_DIRECTORY | _NEVER_FOLLOWED, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem


def read_regular(path: Path, *, below: Path | None = None, at_most: int | None = None) -> bytes:
    """The bytes of a regular file; raises what `open_regular` raises.

    at_most: bytes; raises ValueError for a larger file.
    """
    with os.fdopen(open_regular(path, below=below), "rb") as stream:
        if at_most is not None and os.fstat(stream.fileno()).st_size > at_most:
            raise ValueError(f"expected at most {at_most:,} bytes")
        return stream.read()


def yaml_beside(module: str, name: str) -> Any:
    """The content of a YAML file of the package.

    module: `__file__` of the module in whose folder it lies. name: its path from that folder on.
    """
    import yaml  # not for who reads other files alone

    return yaml.safe_load((Path(module).parent / name).read_text("utf-8"))


def flush(path: Path) -> None:
    """Write a file, or a folder's list of names, through to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` once it is flushed; after an error it is removed."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)  # of a killed writer, or a link that somebody put there
    try:
        with os.fdopen(open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    finally:  # on a full disk, closing fails as well, and what was written takes up space
        partial.unlink(missing_ok=True)
    flush(path.parent)


def files_below(folder: Path) -> list[Path]:
    """All that is not a folder below one, links included, in the order of paths."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def folders_from(folder: Path) -> list[Path]:
    """A folder and all folders below it."""
    return [folder, *(path for path in folder.rglob("*") if path.is_dir())]


def size_of(path: Path) -> int:
    """Bytes of a file, a link or all files below a folder; links are not followed."""
    is_folder = path.is_dir() and not path.is_symlink()
    return sum(file.lstat().st_size for file in (files_below(path) if is_folder else [path]))
