"""Ctrl-C that is not lost: remembered, and raised again if the first exception went astray.

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
INTERRUPTED, TERMINATED = 130, 143  # exit codes, a shell's for what SIGINT and SIGTERM ended
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it
_received = threading.Event()
_ending = threading.Event()


@contextmanager
def interrupt_guard() -> Iterator[None]:
    """Context that Ctrl-C ends with KeyboardInterrupt, even if the first one is lost inside.

    A second one, or GRACE_S after the first, ends the process as kill does, with INTERRUPTED.
    Outside the main thread, which alone is told of signals, and where Ctrl-C is ignored, as shells
    have it for what they start in the background, it does nothing.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGINT, _remember), sys.unraisablehook
    sys.unraisablehook = partial(_report_unless_interrupt, hook)
    try:
        yield
        check()
    except Exception as problem:
        if _received.is_set():
            raise KeyboardInterrupt from problem
        raise
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)
        if _received.is_set():
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            _received.clear()


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came and nobody ended for it."""
    if _received.is_set():
        raise KeyboardInterrupt


def end_builds() -> None:
    """Tell builds in this process to end, until `building` ends."""
    _ending.set()


@contextmanager
def building() -> Iterator[None]:
    """Context of builds, which waits for them; those of a later one go on."""
    try:
        yield
    finally:
        _ending.clear()


def ending() -> bool:
    """Whether builds should end: Ctrl-C came, or the run is cancelled."""
    return _received.is_set() or _ending.is_set()


def leave_after(seconds: float) -> None:
    """End this process after a while, as kill does, whatever its threads are at."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(TERMINATED))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _remember(*_: Any) -> None:
    if _received.is_set():
        _leave()
    _received.set()
    signal.signal(signal.SIGALRM, _leave)
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)
    raise KeyboardInterrupt


def _leave(*_: Any) -> None:
    """End at once, without the Prefect server's knowledge; the store stays whole."""
    shown = _SHOW_CURSOR if sys.__stderr__ and sys.__stderr__.isatty() else ""
    message = "interrupted without waiting for the Prefect server; run the same command again"
    os.write(2, f"{shown}{message} to go on where it stopped\n".encode())
    os._exit(INTERRUPTED)


def _report_unless_interrupt(hook: Callable[[Any], Any], unraisable: Any) -> None:
    if not (_received.is_set() and unraisable.exc_type is KeyboardInterrupt):
        hook(unraisable)
