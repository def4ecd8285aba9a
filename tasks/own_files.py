"""Files in options where other users may have laid links or pipes: opened, these are refused."""

import errno
import os
import resource
import stat
from contextlib import suppress
from pathlib import Path

from flowers17.errors import Flowers17Error

DATABASE_ROOM = 2**25  # bytes that a file must be able to grow by
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TRAPS = (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES)


def prefect_home() -> Path:
    """Folder that holds Prefect's database and profiles."""
    return Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()


def trusted_home() -> Path:
    """Return Prefect's home, which may not be there yet.

    Raises Flowers17Error if another user than root could have put something there.
    """
    home = prefect_home()
    try:
        owners, folder = {home.lstat().st_uid}, home.stat()
    except FileNotFoundError:
        return home
    except OSError as problem:
        raise _no_home(home, problem) from problem
    strangers = {*owners, folder.st_uid} - {os.geteuid(), 0}
    if not strangers and not folder.st_mode & _OTHERS_WRITE:
        return home
    received = f"one that others can write to (mode {stat.S_IMODE(folder.st_mode):o})"
    if strangers:
        received = f"one of the user with the number {max(strangers)}"
    raise Flowers17Error(
        f"{home}: expected a folder for Prefect that only you can write to, got {received}; if all "
        f"in it is yours, `chmod go-w {home}` as its owner, else set PREFECT_HOME to another folder"
    )


def own_prefect_home() -> Path:
    """Prefect's home once it is there, with a database that only this user can read.

    Raises Flowers17Error if it cannot be made, if another user has a hand in it, or if the database
    could not grow.
    """
    home = prefect_home()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = trusted_home() / "prefect.db"
        os.close(own_file(database, os.O_RDWR | os.O_CREAT))
        for ending in ("-journal", "-shm", "-wal"):
            with suppress(FileNotFoundError):
                os.close(own_file(home / f"prefect.db{ending}", os.O_RDWR))
    except OSError as problem:
        raise _no_home(home, problem) from problem
    # The shell's limit of file sizes would end the server.
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    needed = database.stat().st_size + DATABASE_ROOM
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise Flowers17Error(
            f"{database}: expected room for Prefect's database to grow to {needed:,} bytes, files "
            f"may have {limit:,} bytes here; raise the limit of file sizes (`ulimit -f unlimited`)"
        )
    return home


def own_folder(path: Path) -> Path:
    """Return a folder that is this user's alone once it is there.

    Raises Flowers17Error if something else is there.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise _trap(path, "something else, or one of another user", "folder")
    path.chmod(0o700)
    return path


def _no_home(home: Path, problem: OSError) -> Flowers17Error:
    return Flowers17Error(
        f"{home}: expected a folder for Prefect's database, cannot make it "
        f"({problem.strerror}); set PREFECT_HOME to one that can be written"
    )


def own_file(path: Path, flags: int) -> int:
    """Descriptor of a regular file of this user or root; no link is followed or pipe waited for.

    flags: of `os.open`. What is opened for writing can be read by its owner alone from here on; a
    file only read is refused if others can write to it. Raises Flowers17Error if something else is
    there, and OSError as `os.open` does.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        if problem.errno in _TRAPS:
            raise _trap(path, f"something else ({problem.strerror})") from problem
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _trap(path, "something else (no file)")
        if status.st_uid not in (os.geteuid(), 0):
            raise _trap(path, f"one of the user with the number {status.st_uid}")
        if flags & (os.O_WRONLY | os.O_RDWR) and status.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
        elif status.st_mode & _OTHERS_WRITE:
            raise _trap(path, "one that others can write to (`chmod go-w` if you wrote it)")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _trap(path: Path, content: str, kind: str = "file") -> Flowers17Error:
    return Flowers17Error(
        f"{path}: expected a {kind} of your own, found {content}; remove it, and see who else can "
        f"write to {path.parent}"
    )
