"""Server and worker of one `flowers17 serve`: started, watched and stopped, with their logs."""

import os
import secrets
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from flowers17.errors import Flowers17Error
from flows.local_server import MESSAGE_LIMIT
from flows.prefect_api import CHECKOUT
from flows.reaper import MARK
from tasks.own_files import own_file, own_folder, prefect_home

LOG_LIMIT, LOG_REST = 16 * 2**20, 2**20  # bytes of a log, and what is kept of a longer one


class Children:
    """Processes of one `serve`: marked, each in a session of its own, each with a log file."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.logs = prefect_home() / "flowers17-logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        arguments: list[str],
        settings: Mapping[str, str],
        listeners: Sequence[socket.socket] = (),
    ) -> None:
        """Start a module as a program, which gets the listeners' descriptors as `--fd`.

        The person's own settings go before ours.
        """
        own_folder(self.logs)
        descriptors = [listener.fileno() for listener in listeners]
        arguments = [*arguments, *(f"--fd={number}" for number in descriptors)]
        with self._log(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "flows.reaper", self.token, *arguments],
                stdin=subprocess.PIPE,  # its end is that of `serve`
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={**settings, **os.environ, MARK: self.token},
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for `serve`, which stops them in order
            )

    def ended(self, name: str) -> bool:
        """Return whether a process that was started has ended."""
        return name in self._running and self._running[name].poll() is not None

    def failure(self, name: str) -> Flowers17Error:
        """Return the error of a process that ended unasked, with its last words."""
        with self._log(name, os.O_RDONLY) as log:
            lines = deque((line.decode(errors="replace") for line in log), maxlen=10)
        last = "".join(lines).strip()[-MESSAGE_LIMIT:]
        return Flowers17Error(
            f"expected Prefect's {name} to keep running, it ended; {self.logs / name}.log ends "
            f"with:\n{last}"
        )

    def shorten_logs(self) -> None:
        """Keep only the end of logs that have grown too long."""
        for name in self._running:
            # A person may remove a log.
            with suppress(OSError), self._log(name, os.O_RDWR | os.O_APPEND) as log:
                if log.seek(0, os.SEEK_END) > LOG_LIMIT:
                    log.seek(-LOG_REST, os.SEEK_END)
                    rest = log.read()
                    log.truncate(0)
                    log.write(rest)

    def _log(self, name: str, flags: int) -> IO[bytes]:
        descriptor = own_file(self.logs / f"{name}.log", flags)
        return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b", buffering=0)

    def stop(self, name: str, timeout_s: float) -> None:
        """Ask a process to end, and kill it if it does not."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Kill whatever carries the mark at the end, also when this process is killed."""
        reaper = subprocess.Popen(
            [sys.executable, "-m", "flows.reaper", self.token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=CHECKOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            reaper.communicate()
