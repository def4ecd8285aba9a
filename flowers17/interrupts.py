"""Ctrl-C that is not lost: remembered, and raised again where what it raised went astray.

Python raises KeyboardInterrupt wherever the main thread is just then. Inside a lock of `threading`
something else comes of it (`RuntimeError: release unlocked lock`), asyncio may lose it, and where
Python itself calls back (`__del__`, `weakref.ref`), it is printed and dropped.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

_came = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Have Ctrl-C end what is inside with KeyboardInterrupt, whatever comes of the first one.

    Outside the main thread, which alone is told of signals, and where Ctrl-C is ignored, as shells
    have it for what they start in the background, it does nothing.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _remember)
    told = sys.unraisablehook
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
        _came.clear()


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came and nobody ended for it."""
    if _came.is_set():
        raise KeyboardInterrupt


def _remember(*_: Any) -> None:
    _came.set()
    raise KeyboardInterrupt


def _tell_unless_remembered(told: Callable[[Any], Any], dropped: Any) -> None:
    if not (_came.is_set() and dropped.exc_type is KeyboardInterrupt):
        told(dropped)
