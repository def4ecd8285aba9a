"""Ctrl-C ends what it should, even where the exception is lost or replaced on its way."""

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from flowers17.interrupts import INTERRUPTED, check, interrupt_guard
from tests.support.processes import HANG_S, python


def _press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _lost() -> None:
    with suppress(KeyboardInterrupt):
        _press()


def _replaced() -> None:
    try:
        _press()
    except KeyboardInterrupt:
        raise RuntimeError("release unlocked lock") from None


def _called_back(callback: Callable[[], None]) -> None:
    referent = type("Thing", (), {})()
    reference = weakref.ref(referent, lambda _: callback())
    del referent
    assert reference() is None


def _dropped() -> None:
    _called_back(_press)


@pytest.mark.parametrize("interruption", [_press, _lost, _replaced, _dropped])
def test_it_ends_what_is_inside_whatever_comes_of_it(
    interruption: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interrupt_guard():
        interruption()
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
    assert capsys.readouterr().err == ""
    check()  # and is forgotten


def test_one_that_was_lost_is_raised_where_it_is_asked_for() -> None:
    reached = []

    def work() -> None:
        with interrupt_guard():
            _lost()
            reached.append("after it")
            check()
            reached.append("after asking")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["after it"]


STUCK = """
import os, signal, sys, time
from flowers17 import interrupts

interrupts.GRACE_S = float(sys.argv[1])
with interrupts.interrupt_guard():
    for _ in range(int(sys.argv[2])):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("ending", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("grace_s", "times"), [("0.5", "1"), ("60", "2")])
def test_what_does_not_end_is_ended_by_a_second_one_or_after_a_while(
    grace_s: str, times: str
) -> None:
    with python("-c", STUCK, grace_s, times) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
    assert (process.returncode, printed) == (INTERRUPTED, "ending\n")
    assert complaints == (
        "interrupted without waiting for the Prefect server; run the same command again to go on "
        "where it stopped\n"
    )


def test_without_it_other_errors_stay_themselves() -> None:
    with pytest.raises(ValueError, match="mine"), interrupt_guard():
        raise ValueError("mine")
    with interrupt_guard():
        check()


def test_other_errors_that_python_drops_are_still_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("mine")

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with interrupt_guard():
        _called_back(fail)
    assert "ValueError: mine" in capsys.readouterr().err


def test_a_thread_that_gets_no_signals_is_left_alone() -> None:
    before, handlers = signal.getsignal(signal.SIGINT), []

    def enter() -> None:
        with interrupt_guard():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_where_it_is_ignored_it_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt_guard():
            _press()
            check()
    finally:
        signal.signal(signal.SIGINT, before)
