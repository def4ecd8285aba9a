"""Real processes: started with our code, watched, killed, and none left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HANG_S = 240.0  # ends a wait that would never end; a loaded machine may be slow
NOBODY = 54321  # a user who owns nothing here
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
_TEMPORARY = tempfile.TemporaryDirectory(prefix="flowers17-")  # of processes that may be killed


def environment(**changes: str) -> dict[str, str]:
    """Return this environment with our modules importable and the given changes."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": _TEMPORARY.name, **changes}


@contextmanager
def python(*arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a session of its own; whatever is left of it afterwards is killed."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for pid in session_members(process.pid):
                kill(pid)


def output_of(
    code: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = HANG_S
) -> str:
    """Output of a Python program; fails with its complaints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        cwd=ROOT,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def program(module: str, *arguments: str, seconds: float) -> str:
    """Output of a program of ours; fails with its exit code and last complaints."""
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=seconds,
        check=False,
    )
    assert result.returncode == 0, f"ended with {result.returncode}: {result.stderr[-2000:]}"
    return result.stdout


def at_once(*processes: subprocess.Popen[str]) -> list[str]:
    """Let programs that print a line and wait for one go on together; return what they print."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=HANG_S) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), printed
    return [out for out, _ in printed]


def kill(pid: int) -> None:
    """Send SIGKILL, if the process is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def session_members(session: int) -> list[int]:
    """Return the living processes of a session: all that a command started and left."""
    return [pid for pid, state, sid in _processes() if sid == session and state != "Z"]


def _processes() -> Iterator[tuple[int, str, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        yield int(path.parent.name), after_name[0], int(after_name[3])


def eventually(
    condition: Callable[[], Any], seconds: float = HANG_S, *, pause_s: float = 0.02
) -> bool:
    """Whether the condition comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause_s)
    return bool(condition())


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def waits_for_lock(path: Path) -> bool:
    """Whether a process waits for the kernel lock of a file."""
    inode = path.stat().st_ino if path.exists() else None
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(line.split()[-3].endswith(f":{inode}") for line in waiting)
