"""What one `flowers17 serve` started carries its mark, and ends with it, however it ends.

Prefect's worker starts runs in sessions of their own, which outlive a killed worker. So each
process inherits a mark in its environment, and a small process apart waits for the end of `serve`,
then kills whoever still carries it.
"""

import os
import signal
import sys
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
    """Return the processes that carry the mark of one `serve`."""
    mark = f"{MARK}={token}".encode()
    return [process for process, environment in _environments() if mark in environment]


def flow_runs_here(token: str | None = None) -> set[str]:
    """Return the flow runs of deployments that have a process here; of one `serve`, or all."""
    mark = f"{MARK}={token}".encode()
    return {
        variable.removeprefix(_RUN).decode()
        for _, environment in _environments()
        if token is None or mark in environment
        for variable in environment
        if variable.startswith(_RUN)
    }


def end_all(token: str) -> None:
    """Kill the processes that carry the mark, also those that start meanwhile."""
    while left := marked(token):
        for process in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(sys.argv[1])
