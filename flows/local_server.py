"""A private Prefect server for one command: used when no server is configured.

Prefect's own temporary server starts only after the flow's imports, and its shutdown prints
tracebacks of cancelled services; this one starts beside the imports and keeps quiet. A new command
forks it, with what both need of Prefect. It ends when the command's end of their connection does,
also when that is killed. Runs are kept in Prefect's database, where `flowers17 serve` shows them.

Other users of the machine and pages in a browser reach its port, too. So it listens on a socket
that the command has bound, is guarded (`flows.access`), admits only who knows the command's random
password, and is told no credentials of other servers.
"""

import fcntl
import gc
import multiprocessing
import os
import re
import secrets
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

from flowers17.errors import Flowers17Error
from flowers17.fork_server import undisturbed
from flows import prefect_api
from tasks.own_files import own_file, own_prefect_home, prefect_home

ABSENT_TIMEOUT_S = 10.0  # one that nobody serves
MESSAGE_LIMIT = 2000  # characters
BUSY_ROUTERS = ("/flows", "/flow_runs", "/task_runs", "/artifacts", "/logs", "/events", "/admin")
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception): .+", re.MULTILINE)  # how a traceback ends


class Server(AbstractContextManager["Server"]):
    """A Prefect API to talk to: the configured one, or a private one that ends with the context.

    password: of a private one (`user:password`); None: Prefect knows what the configured one wants.
    """

    def __init__(self) -> None:
        api = prefect_api.configured_api() or prefect_api.served_api()
        prefect_api.bypass_proxies(api)
        self.password: str | None = None
        self._process: BaseProcess | None = None
        if api is None:
            self.password = f"flowers17:{secrets.token_urlsafe(32)}"
            # It listens from here on, so that nobody else can answer at its port.
            with socket.create_server(("127.0.0.1", 0)) as listener:
                api = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
                self._process, self._connection = _launched(listener, self.password)
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
            # Each client would ask what is known: it is of this version, and has no pages.
            changes[settings.PREFECT_CLIENT_CSRF_SUPPORT_ENABLED] = False
            changes[settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED] = False
        with settings.temporary_settings(changes):
            self._await_answer()
            yield prefect_api.admitting(self.api)

    def _await_answer(self) -> None:
        began = time.monotonic()
        wait_s = prefect_api.START_TIMEOUT_S if self._process else ABSENT_TIMEOUT_S
        lives = self._process.is_alive if self._process else lambda: True
        if prefect_api.answers_within(self.api, wait_s, lambda: not lives()):
            return
        if self._process:
            message = "nothing"
            with suppress(EOFError):  # it was killed
                message = self._connection.recv() if self._connection.poll() else message
            code, waited_s = self._process.exitcode, time.monotonic() - began
            state = "had not answered" if code is None else f"had ended with exit code {code}"
            raise Flowers17Error(
                f"expected a private Prefect server to answer, after {waited_s:.0f} s it {state}; "
                f"it said: {message}. Its database is in {prefect_home()}: if that is damaged, or "
                "of a newer Prefect, set PREFECT_HOME to another folder"
            )
        proxy = prefect_api.proxy_of(self.api)
        through = f" through the proxy {proxy}" if proxy else ""
        raise Flowers17Error(
            f"expected a Prefect server to answer at {self.api}{through} within {wait_s:.0f} s; it "
            "did not. Start it (`flowers17 serve`), or unset PREFECT_API_URL to use a private one"
        )

    def __exit__(self, *problem: object) -> None:
        """Stop the private server; its data stay in Prefect's database."""
        if self._process:
            self._connection.close()
            self._process.join(timeout=15)
            self._process.kill()
            self._process.join()


def _launched(listener: socket.socket, password: str) -> tuple[BaseProcess, Connection]:
    """Process of the server, and the command's end of a connection, which ends it when closed."""
    home = own_prefect_home()
    # A fork needs a process of one thread, in which Prefect has not read other settings.
    is_new = threading.active_count() == 1 and not {"prefect", "keras"} & {*sys.modules}
    if forks := is_new and sys.platform == "linux":
        import fastapi.encoders  # noqa: F401
        import prefect.main  # noqa: F401
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    ends = multiprocessing.Pipe()
    process = context.Process(target=_serve, args=(listener, password, home, *ends), daemon=True)
    with nullcontext() if forks else undisturbed():
        process.start()
    ends[1].close()
    return process, ends[0]


def _serve(
    listener: socket.socket, password: str, home: Path, commands_end: Connection, end: Connection
) -> NoReturn:
    """Serve until the command closes its end; then tell it the last error, if there was one."""
    commands_end.close()
    os.setpgid(0, 0)  # a Ctrl-C is for the command, which still reports to the server then
    os.environ |= prefect_api.SETTINGS["private server"]
    os.environ["PREFECT_SERVER_API_AUTH_STRING"] = password
    with tempfile.TemporaryFile() as complaints, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(complaints.fileno(), 2)
        started = False
        try:
            started = _served(listener, home, end)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        complaints.seek(0)
        errors = _ERROR.findall(complaints.read().decode(errors="replace"))
        with suppress(OSError):
            end.send(errors[-1][:MESSAGE_LIMIT] if errors else "nothing")
        # All is served and stored, or told; taking the interpreter apart would hold up the
        # command by a second.
        os._exit(0 if started else 1)


def _served(listener: socket.socket, home: Path, end: Connection) -> bool:
    """Whether it served, once the command has closed its end."""
    with os.fdopen(own_file(home / "flowers17-server.lock", os.O_RDWR | os.O_CREAT)) as lock:
        # Two servers that create the database at once would trip over each other's migrations.
        fcntl.flock(lock, fcntl.LOCK_EX)
        gc.set_threshold(50_000)  # collections would take a tenth of the time of the imports
        import uvicorn
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()  # from the environment, the server's by now
        from prefect.server.api import server as prefects

        from flows.access import connections_tell_users, guarded, server_options
        from flows.database_turns import take_turns

        take_turns()
        # FastAPI works out each router that stands before the one that is asked for.
        order = sorted(prefects.API_ROUTERS, key=lambda router: router.prefix not in BUSY_ROUTERS)
        prefects.API_ROUTERS = tuple(order)  # type: ignore[assignment]
        same_user = connections_tell_users()
        config = uvicorn.Config(
            guarded(prefects.create_app(), hosts={"localhost"}, same_user=same_user),
            log_level="error",
            lifespan="on",
            **{**server_options(same_user=same_user), "proxy_headers": False},
        )
        server = uvicorn.Server(config)

        def watch() -> None:
            while not server.started and not server.should_exit:
                time.sleep(0.05)
            gc.freeze()  # what was imported stays
            fcntl.flock(lock, fcntl.LOCK_UN)
            end.poll(None)
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()
        server.run([socket.socket(fileno=listener.detach())])  # which knows TCP: no delayed answers
        return server.started
