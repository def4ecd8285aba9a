"""A private Prefect server for one command: used when no server is configured.

Prefect's own temporary server starts only after the flow's imports, and its shutdown prints
tracebacks of cancelled services; this one starts beside the imports and keeps quiet. It ends when
its standard input does, so also when the command is killed. Runs are kept in Prefect's database,
where `flowers17 serve` shows them later.

Other users of the machine and pages in a browser reach its port, too. So it listens on a socket
that the command has bound, is guarded (`flows.access`), admits only who knows the command's random
password, and is told no credentials of other servers.
"""

import fcntl
import gc
import io
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from flowers17.errors import Flowers17Error
from flows import prefect_api
from tasks.own_files import own_file, own_prefect_home, prefect_home

ABSENT_TIMEOUT_S = 10.0  # one that nobody serves
MESSAGE_LIMIT = 2000  # characters
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception): .+", re.MULTILINE)  # how a traceback ends


class Server(AbstractContextManager["Server"]):
    """A Prefect API to talk to: the configured one, or a private one that `close` stops.

    password: of a private one (`user:password`); None: Prefect knows what the configured one wants.
    """

    def __init__(self) -> None:
        api = prefect_api.configured_api() or prefect_api.served_api()
        prefect_api.bypass_proxies(api)
        self.password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] = io.BytesIO()
        if api is None:
            self.password = f"flowers17:{secrets.token_urlsafe(32)}"
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # `close` does
            # It listens from here on, so that nobody else can answer at its port.
            with socket.create_server(("127.0.0.1", 0)) as listener:
                api = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
                self._process = _launched(listener, self.password, self._complaints)
        self.api = api

    @contextmanager
    def connected(self) -> Iterator[str]:
        """Let Prefect's clients in this process talk to it; yield its address once it answers.

        Raises Flowers17Error if it doesn't, or if it refuses our credentials.
        """
        from prefect import settings

        changes: dict[Any, Any] = {settings.PREFECT_API_URL: self.api}
        if self.password:
            changes[settings.PREFECT_API_AUTH_STRING] = self.password
            changes[settings.PREFECT_API_KEY] = None
            changes[settings.PREFECT_CLIENT_CUSTOM_HEADERS] = "{}"  # Prefect would add a mapping
        with settings.temporary_settings(changes):
            self._await_answer()
            yield prefect_api.admitting(self.api)

    def _await_answer(self) -> None:
        began = time.monotonic()
        wait_s = prefect_api.START_TIMEOUT_S if self._process else ABSENT_TIMEOUT_S
        if prefect_api.answers_within(self.api, wait_s, self._ended):
            return
        if self._process:
            raise Flowers17Error(self._explained(time.monotonic() - began))
        proxy = prefect_api.proxy_of(self.api)
        through = f" through the proxy {proxy}" if proxy else ""
        raise Flowers17Error(
            f"expected a Prefect server to answer at {self.api}{through} within {wait_s:.0f} s; it "
            "did not. Start it (`flowers17 serve`), or unset PREFECT_API_URL to use a private one"
        )

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _explained(self, waited_s: float) -> str:
        """Message on a private server that is not there, with the last error that it printed."""
        self._complaints.seek(0)
        errors = _ERROR.findall(self._complaints.read().decode(errors="replace"))
        message = errors[-1][:MESSAGE_LIMIT] if errors else "nothing"
        code = self._process.poll() if self._process else None
        state = "had not answered" if code is None else f"had ended with exit code {code}"
        return (
            f"expected a private Prefect server to answer, after {waited_s:.0f} s it {state}; it "
            f"said: {message}. Its database is in {prefect_home()}: if that is damaged, or of a "
            "newer Prefect, set PREFECT_HOME to another folder"
        )

    def close(self) -> None:
        """Stop the private server; its data stay in Prefect's database."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._complaints.close()

    def __exit__(self, *problem: object) -> None:
        self.close()


def _launched(
    listener: socket.socket, password: str, complaints: IO[bytes]
) -> subprocess.Popen[bytes]:
    home = own_prefect_home()
    settings = prefect_api.SETTINGS["private server"]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.local_server", str(listener.fileno()), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        env={**os.environ, **settings, "PREFECT_SERVER_API_AUTH_STRING": password},
        cwd=Path(__file__).parent.parent,
        pass_fds=[listener.fileno()],
        process_group=0,  # a Ctrl-C is for the command, which still reports to the server then
    )


def _serve(listener: socket.socket, home: Path) -> None:
    with os.fdopen(own_file(home / "flowers17-server.lock", os.O_RDWR | os.O_CREAT)) as lock:
        # Two servers that create the database at once would trip over each other's migrations.
        fcntl.flock(lock, fcntl.LOCK_EX)
        gc.disable()  # a tenth of the time that the imports take
        import uvicorn
        from prefect.server.api.server import create_app

        from flows.access import connections_tell_users, guarded, server_options
        from flows.database_turns import take_turns

        take_turns()
        same_user = connections_tell_users()
        config = uvicorn.Config(
            guarded(create_app(), hosts={"localhost"}, same_user=same_user),
            log_level="error",
            lifespan="on",
            **{**server_options(same_user=same_user), "proxy_headers": False},
        )
        server = uvicorn.Server(config)

        def watch() -> None:
            while not server.started and not server.should_exit:
                time.sleep(0.05)
            # What was imported stays; and a short life collects less often than a long one must.
            gc.freeze()
            gc.set_threshold(50_000, 10, 10)
            gc.enable()
            fcntl.flock(lock, fcntl.LOCK_UN)

        def end_with_parent() -> None:
            sys.stdin.buffer.read()
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            server.run([listener])
        finally:
            sys.stderr.flush()
            # All is served and stored, or told; taking the interpreter apart would hold up the
            # command by a second.
            os._exit(0 if server.started else 1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
