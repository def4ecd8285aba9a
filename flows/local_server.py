"""A private Prefect server for one command: used when no server is configured.

Prefect's own temporary server starts only after the flow's imports, and its shutdown prints
tracebacks of cancelled services; this one starts beside the imports and keeps quiet. It ends when
its standard input does, so also when the command is killed. Runs are kept in Prefect's database,
where `flowers17 serve` shows them later.
"""

import fcntl
import gc
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path
from types import TracebackType
from typing import IO

from flowers17.errors import Flowers17Error
from flows.served import prefect_home, served_api

START_TIMEOUT_S = 180.0
BUSY_TIMEOUT_S = 60.0  # a configured server that accepts connections, but answers late
ABSENT_TIMEOUT_S = 10.0  # one that nobody serves
ANSWER_TIMEOUT_S = 5.0
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception): .+", re.MULTILINE)  # how a traceback ends
_QUIET = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    **{
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in (
            "CANCELLATION_CLEANUP",
            "CLEANUP_RECONCILER",
            "EVENT_PERSISTER",
            "FOREMAN",
            "LATE_RUNS",
            "PAUSE_EXPIRATIONS",
            "SCHEDULER",
            "TRIGGERS",
        )
    },
}


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configured_api() -> str | None:
    """Return the API that PREFECT_API_URL or Prefect's active profile names, if any.

    Read from the files, since importing Prefect takes seconds in which a server could start.
    """
    if "PREFECT_API_URL" in os.environ:
        return os.environ["PREFECT_API_URL"] or None
    try:
        profiles = tomllib.loads((prefect_home() / "profiles.toml").read_text())
    except FileNotFoundError:
        return None
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active", ""))
    return profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")


def admitting(api: str) -> str:
    """Return the address of an API that answers; raises Flowers17Error if it refuses us."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        try:
            client.api_version()
        except PrefectHTTPStatusError as problem:
            if problem.response.status_code not in (401, 403):
                raise
            given = "other ones" if PREFECT_API_AUTH_STRING.value() else "none"
            raise Flowers17Error(
                f"{api}: expected the credentials of this Prefect server, got {given}; set "
                "PREFECT_API_AUTH_STRING to the user:password that its operator gave you"
            ) from None
    return api


class Server:
    """A Prefect API to talk to: the configured one, or a private one that `close` stops."""

    def __init__(self) -> None:
        self.api = configured_api() or served_api()
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] = io.BytesIO()
        if self.api is None:
            port = free_port()
            self.api = f"http://127.0.0.1:{port}/api"
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # `close` does
            self._process = _launched(port, self._complaints)

    def healthy(self) -> str:
        """Return the API's address once it answers.

        Raises Flowers17Error if it doesn't, or if it refuses our credentials.
        """
        import httpx  # takes longer than what comes before the server's start

        wait_s = START_TIMEOUT_S if self._process else ABSENT_TIMEOUT_S
        began = time.monotonic()
        # One client for all questions, since making one takes long.
        with httpx.Client(timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
            while time.monotonic() < began + wait_s and not self._ended():
                try:
                    if client.get(f"{self.api}/health").status_code == 200:
                        return admitting(str(self.api))
                except httpx.ReadTimeout:
                    wait_s = max(wait_s, BUSY_TIMEOUT_S)
                except httpx.HTTPError:
                    pass
                time.sleep(0.05)
        if self._process:
            raise Flowers17Error(self._explained(time.monotonic() - began))
        raise Flowers17Error(
            f"expected a Prefect server to answer at {self.api} within {wait_s:.0f} s; it did not. "
            "Start it (`flowers17 serve`), or unset PREFECT_API_URL to use a private one"
        )

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _explained(self, waited_s: float) -> str:
        """Return why the private server is not there, in its own words."""
        self._complaints.seek(0)
        errors = _ERROR.findall(self._complaints.read().decode(errors="replace"))
        said = errors[-1] if errors else "nothing"
        code = self._process.poll() if self._process else None
        how = "had not answered" if code is None else f"had ended with exit code {code}"
        return (
            f"expected a private Prefect server to answer, after {waited_s:.0f} s it {how}; it "
            f"said: {said}. Its database is in {prefect_home()}: if that is damaged, or of a newer "
            "Prefect, set PREFECT_HOME to another folder"
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

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def _launched(port: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    home = prefect_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Flowers17Error(
            f"{home}: expected a folder for Prefect's database, cannot make it "
            f"({problem.strerror}); set PREFECT_HOME to one that can be written"
        ) from problem
    return subprocess.Popen(
        [sys.executable, "-m", "flows.local_server", str(port), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        env={**os.environ, **_QUIET},
        cwd=Path(__file__).parent.parent,
        process_group=0,  # a Ctrl-C is for the command, which still reports to the server then
    )


def _serve(port: int, home: Path) -> None:
    with (home / "flowers17-server.lock").open("w") as lock:
        # Two servers that create the database at once would trip over each other's migrations.
        fcntl.flock(lock, fcntl.LOCK_EX)
        gc.disable()  # a tenth of the time that the imports take
        import uvicorn
        from prefect.server.api.server import create_app

        from flows.database_retry import retrying

        config = uvicorn.Config(
            retrying(create_app()),
            host="127.0.0.1",
            port=port,
            log_level="error",
            lifespan="on",
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
            server.run()
        finally:
            sys.stderr.flush()
            # All is served and stored, or told; taking the interpreter apart would hold up the
            # command by a second.
            os._exit(0 if server.started else 1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
