"""A configured Prefect server: waited for while busy, and soon given up if nobody serves it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flowers17.errors import Flowers17Error
from flows import local_server, prefect_api
from flows.local_server import Server
from tests.support.homes import migrated_home
from tests.support.processes import eventually, free_port, kill, output_of, python

# A command that has begun, with a private server; one task ends as the server is to end.
COMMAND = """
import sys
from flows.local_server import Server
with Server() as server, server.connected():
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings
    from prefect.states import Completed
    print(server._process.pid, get_current_settings().server.api.auth_string, flush=True)
    sys.stdin.readline()
    ends = task(name="ends")(lambda: Completed(name="Cached"))
    flow(name="short")(lambda: [ends.submit().wait() for _ in range(30)] and None)()
    with get_client(sync_client=True) as client:
        routes = ["deployments/filter", "work_pools/filter", "variables/filter", "flows/filter"]
        print(*(client._client.post(f"/{route}", json={}).status_code for route in routes))
    from prefect.events.worker import EventsWorker
    EventsWorker.drain_all()
    sys.stdout.flush()
    if sys.argv[1] == "killed":
        sys.stdin.readline()
"""


@contextmanager
def _serving(*pauses: float) -> Iterator[str]:
    """Serve an API that answers each of the first requests after a pause; return its address."""
    remaining = list(pauses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(remaining.pop(0) if remaining else 0)
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b'"3.8.8"')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(local_server, "ABSENT_TIMEOUT_S", 2.0)


class TestConfiguredServer:
    def test_that_answers_late_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with _serving(1.0, 1.0, 1.0) as api:
            monkeypatch.setenv("PREFECT_API_URL", api)
            with Server().connected() as answering:
                assert answering == api

    def test_that_never_answers_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prefect_api, "BUSY_TIMEOUT_S", 0.5)
        with _serving(*[1.0] * 20) as api:
            monkeypatch.setenv("PREFECT_API_URL", api)
            refusal = pytest.raises(Flowers17Error, match=r"answer at http.*; it did not.*unset")
            with refusal, Server().connected():
                pass

    def test_that_nobody_serves_is_given_up_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
        began = time.monotonic()
        with pytest.raises(Flowers17Error, match="Start it"), Server().connected():
            pass
        assert time.monotonic() - began < 5


class TestPrivateServer:
    @pytest.fixture(autouse=True)
    def _none_configured(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path))

    @pytest.mark.server
    def test_that_ends_at_once_is_not_waited_for_and_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "prefect.db").write_text("a letter, and no database " * 100)
        message = (
            rf"had ended with exit code \d+; it said: .*database.* {tmp_path}: if that is damaged"
        )
        began = time.monotonic()
        with (
            Server() as server,
            pytest.raises(Flowers17Error, match=message) as problem,
            server.connected(),
        ):
            pass
        assert time.monotonic() - began < prefect_api.START_TIMEOUT_S
        assert len(str(problem.value)) < local_server.MESSAGE_LIMIT + 500

    @pytest.mark.server
    def test_says_no_more_than_a_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+{9999 * 'x'}:///a.db")
        with Server() as server, pytest.raises(Flowers17Error) as problem, server.connected():
            pass
        assert "xxx" in str(problem.value)
        assert len(str(problem.value)) < local_server.MESSAGE_LIMIT + 500

    def test_where_files_may_not_grow_is_refused_at_once(self, tmp_path: Path) -> None:
        code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
from flows.local_server import Server
try:
    Server()
except Exception as problem:
    print(problem)
"""
        printed = output_of(code, env={"PREFECT_HOME": str(tmp_path)})
        assert f"{tmp_path}/prefect.db: expected room" in printed
        assert "files may have 1,048,576 bytes here; raise the limit" in printed

    def test_without_a_folder_for_its_database_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PREFECT_HOME", "/proc/nobody/makes/this")
        with pytest.raises(Flowers17Error, match=r"this: expected a folder .*set PREFECT_HOME"):
            Server()

    @pytest.mark.server
    @pytest.mark.parametrize("ending", ["killed", "closed"])
    def test_is_forked_by_a_new_command_and_ends_with_it_once_all_is_recorded(
        self, ending: str, tmp_path: Path
    ) -> None:
        migrated_home(tmp_path)
        with python("-c", COMMAND, ending) as command:
            assert command.stdin is not None
            assert command.stdout is not None
            server, own_password = command.stdout.readline().split()
            assert _command_line(int(server)) == _command_line(command.pid)
            assert own_password == "None"  # settings of the server are not the command's
            command.stdin.write("go on\n")
            command.stdin.flush()
            assert command.stdout.readline() == "200 200 200 200\n"
            if ending == "killed":
                kill(command.pid)
            assert eventually(lambda: not _command_line(int(server)))
        with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
            states = "select count(*) from task_run where state_name = 'Cached'"
            assert database.execute(states).fetchone() == (30,)


def _command_line(process: int) -> str:
    """Command line of a process, empty once it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
