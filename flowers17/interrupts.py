"""Ctrl-C that is not lost: remembered, and raised again where what it raised went astray.

Python raises KeyboardInterrupt wherever the main thread is just then. Inside a lock of `threading`
something else comes of it (`RuntimeError: release unlocked lock`), asyncio may lose it, and where
Python itself calls back (`__del__`, `weakref.ref`), it is printed and dropped. What ends in turn
may wait for ever, as for a Prefect server that is gone: a second Ctrl-C, or GRACE_S, ends it all.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

GRACE_S = 30.0
INTERRUPTED = 130  # exit code, a shell's for what SIGINT ended
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it
_came = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Have Ctrl-C end what is inside with KeyboardInterrupt, whatever comes of the first one.

    A second one, or GRACE_S after the first, ends the process as kill does, with INTERRUPTED.
    Outside the main thread, which alone is told of signals, and where Ctrl-C is ignored, as shells
    have it for what they start in the background, it does nothing.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, told = signal.signal(signal.SIGINT, _remember), sys.unraisablehook
    sys.unraisablehook = partial(_tell_unless_remembered, told)
    try:
        yield
        check()
    except Exception as problem:
        if _came.is_set():
            raise KeyboardInterrupt from problem
        raise
    finally:
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, before)
        if _came.is_set():
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            _came.clear()


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came and nobody ended for it."""
    if _came.is_set():
        raise KeyboardInterrupt


def _remember(*_: Any) -> None:
    if _came.is_set():
        _leave()
    _came.set()
    signal.signal(signal.SIGALRM, _leave)
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)
    raise KeyboardInterrupt


def _leave(*_: Any) -> None:
    """End without a word to the Prefect server; what the store has is whole all the same."""
    shown = _SHOW_CURSOR if sys.__stderr__ and sys.__stderr__.isatty() else ""
    said = "interrupted without waiting for the Prefect server; run the same command again to go on"
    os.write(2, f"{shown}{said} where it stopped\n".encode())
    os._exit(INTERRUPTED)


def _tell_unless_remembered(told: Callable[[Any], Any], dropped: Any) -> None:
    if not (_came.is_set() and dropped.exc_type is KeyboardInterrupt):
        told(dropped)
