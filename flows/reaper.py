"""End of all processes that one `flowers17 serve` started, however it ends itself.

Prefect's worker starts runs in sessions of their own, which outlive a killed worker. So each
process inherits a mark in its environment. A small process apart waits for the end of `serve`, then
kills whoever still carries the mark. The server and the worker wait for it, too: so it is enough
that one of the three is left.
"""

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "FLOWERS17_SERVE"
_RUN = b"PREFECT__FLOW_RUN_ID="


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")


def marked(token: str) -> list[int]:
    """Other processes that carry the mark of one `serve`."""
    mark = f"{MARK}={token}".encode()
    return [process for process, environment in _environments() if mark in environment]


def flow_runs_here(token: str | None = None) -> set[str]:
    """Flow runs of deployments that have a process here; of one `serve`, or all."""
    mark = f"{MARK}={token}".encode()
    return {
        variable.removeprefix(_RUN).decode()
        for _, environment in _environments()
        if token is None or mark in environment
        for variable in environment
        if variable.startswith(_RUN)
    }


def end_all(token: str, *, but_waiting: bool = False) -> None:
    """Kill the other processes that carry the mark, also those that start meanwhile.

    but_waiting: leave those alone that wait for the end of `serve` themselves.
    """
    while living := [pid for pid in marked(token) if not (but_waiting and _waits(pid))]:
        for process in living:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _waits(process: int) -> bool:
    with suppress(OSError):
        return b"flows.reaper" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    return False


def _await_end_of_serve() -> None:
    while os.read(sys.stdin.fileno(), 1):  # `serve` holds the other end
        pass


def _run_module(token: str, arguments: list[str]) -> None:
    """Run a module as `python -m` does, and end it and the runs with `serve`."""

    def end_with_serve() -> None:
        _await_end_of_serve()
        end_all(token, but_waiting=True)  # two that kill each other would leave the runs
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end_with_serve, daemon=True).start()
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[2:]:
        _run_module(sys.argv[1], sys.argv[2:])
    else:
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        _await_end_of_serve()
        end_all(sys.argv[1])
