"""Files in places where other users may have laid links or pipes: opened, these are refused."""

import errno
import os
import resource
import stat
from pathlib import Path

from flowers17.errors import Flowers17Error

DATABASE_ROOM = 2**25  # bytes that a file must be able to grow by
_TRAPS = (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES)


def prefect_home() -> Path:
    """Folder that holds Prefect's database and profiles."""
    return Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


def own_prefect_home() -> Path:
    """Prefect's home once it is there, with a database that only this user can read.

    Raises Flowers17Error if it cannot be made, or the database could not grow.
    """
    home = prefect_home()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = home / "prefect.db"
        database.touch(mode=0o600)
        if database.stat().st_uid == os.geteuid():
            database.chmod(0o600)
    except OSError as problem:
        raise Flowers17Error(
            f"{home}: expected a folder for Prefect's database, cannot make it "
            f"({problem.strerror}); set PREFECT_HOME to one that can be written"
        ) from problem
    _expect_room(database)
    return home


def _expect_room(database: Path) -> None:
    """Raise Flowers17Error if the shell's limit of file sizes would end the server."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    needed = database.stat().st_size + DATABASE_ROOM
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise Flowers17Error(
            f"{database}: expected room for Prefect's database to grow to {needed:,} bytes, files "
            f"may have {limit:,} bytes here; raise the limit of file sizes (`ulimit -f unlimited`)"
        )


def regular_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """Descriptor of a regular file, opened without following a link or waiting.

    flags, mode: of `os.open`; what it creates is readable by its owner alone.
    Raises Flowers17Error if something else is there, and OSError as `os.open` does.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as problem:
        if problem.errno in _TRAPS:
            raise _trap(path, f"something else ({problem.strerror})") from problem
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _trap(path, "something else (no file)")
    return descriptor


def own_file(path: Path, flags: int) -> int:
    """Descriptor of a regular file that belongs to this user, as `regular_file` does."""
    descriptor = regular_file(path, flags)
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        os.close(descriptor)
        raise _trap(path, f"one of the user with the number {owner}")
    return descriptor


def _trap(path: Path, content: str) -> Flowers17Error:
    return Flowers17Error(
        f"{path}: expected a file of your own, found {content}; remove it, and see who else can "
        f"write to {path.parent}"
    )
