"""Beginning processes of stages: forked from a server that has imported Keras, or spawned.

The server is `multiprocessing`'s, and so is its socket. Whoever writes to it can run code, so it
lies in a folder that only its user may enter. The process that made the folder removes it, or the
next one if that was killed.
"""

import fcntl
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import ensure_running
from multiprocessing.util import Finalize
from pathlib import Path

from flowers17.environment import keras_backend

_SPAWN = multiprocessing.get_context("spawn")
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["flowers17.preloaded"])
_START_LOCK = threading.Lock()
_PREFIX = "f17-forks-"  # short, since the path of a socket has at most 107 bytes
_YOUNG_S = 60.0  # no process takes so long from making its folder to locking it


def can_fork() -> bool:
    """Whether stages can be forked: the system and Keras's backend must survive a fork."""
    return sys.platform == "linux" and keras_backend() == "tensorflow"


def start_process(
    target: Callable[..., None], arguments: tuple, *, name: str, forked: bool
) -> BaseProcess:
    """Return a daemonic process that has begun to call the function.

    Raises OSError or EOFError if it cannot begin: there is no memory or no place for a socket, or
    the server was killed or its socket tidied away. The next one is forked from a new server.
    """
    context = _FORKED if forked else _SPAWN
    with _START_LOCK, undisturbed():
        with nullcontext() if forked else suppress(OSError):
            _prepare_own_folder()
        process = context.Process(target=target, args=arguments, name=name, daemon=True)
        process.start()
    return process


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let processes that are started inside begin without Ctrl-C and the current folder's modules.

    Ctrl-C would find them importing: a process of a stage and the server let it through as soon as
    they end by it in silence. A `random.py` in the current folder would be imported in place of
    Python's own; a process of a stage has the path of its parent later, and its environment.
    """
    ensure_running()  # Python lets Ctrl-C through again when it starts this process
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        del os.environ["PYTHONSAFEPATH"]
        os.environ |= {} if before is None else {"PYTHONSAFEPATH": before}


def keep_temporary_files_together() -> None:
    """Let this process of a stage make its temporary files in the folder that its parent removes.

    `multiprocessing` ends it without what libraries have registered to remove theirs, and a kill
    does, too.
    """
    folder = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder


def _prepare_own_folder() -> None:
    """Make this process a folder for sockets and temporary files; remove dead ones'."""
    configuration = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if "tempdir" in configuration:  # `multiprocessing` has a folder already, or had
        return
    temporary = Path(tempfile.gettempdir())
    for earlier in temporary.glob(f"{_PREFIX}*"):  # one of this user that no process has locked
        with suppress(OSError), ExitStack() as stack:
            descriptor = os.open(earlier, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            status = os.fstat(descriptor)
            if status.st_uid == os.getuid() and status.st_mtime < time.time() - _YOUNG_S:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(earlier)
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # where folders cannot be locked, none counts as a dead one's
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    configuration["tempdir"] = folder
