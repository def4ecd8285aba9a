"""`flowers17 serve`: Prefect's server with its UI, the deployments and a worker, as one command.

Server and worker log to files in Prefect's home. When `serve` is stopped, runs in progress are put
back, and the next one takes them up; when it is killed, a reaper ends what it had started.
"""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from types import FrameType
from typing import NoReturn

import httpx
from rich.console import Console

from flowers17.errors import Flowers17Error, InvalidInput
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flows.access import connections_tell_users, is_loopback
from flows.configured import admitting, configured_api, is_healthy, probing_client, spare_proxies
from flows.local_server import MESSAGE_LIMIT
from flows.reaper import MARK, flow_runs_here
from flows.served import CHECKOUT, HEARTBEAT_S, POOL, announced, prefect_home

START_TIMEOUT_S = 180.0
WORKER_STOP_S = 45.0
SERVER_STOP_S = 20.0
_AUTH, _SERVER_AUTH = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
_SERVER_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # Its second UI asks an analytics service for its settings, even with analytics off.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    # Pages of other origins have no business here; our own need no permission.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
    # As the browser sees it, also through a tunnel or a proxy.
    "PREFECT_UI_API_URL": "/api",
    # Kept in memory, leases would be forgotten with the server and their slots never freed.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
}
_WORKER_SETTINGS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    "PREFECT_WORKER_QUERY_SECONDS": "3",
}


class Children:
    """Processes of one `serve`: marked, each in a session of its own, each with a log file."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.logs = prefect_home() / "flowers17-logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: list[str], settings: Mapping[str, str]) -> None:
        """Start a module as a program; the person's own settings go before ours."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "flows.reaper", self.token, *arguments],
                stdin=subprocess.PIPE,  # its end is that of `serve`
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={**settings, **os.environ, MARK: self.token},
                start_new_session=True,  # Ctrl-C is for `serve`, which stops them in order
            )

    def ended(self, name: str) -> bool:
        """Whether a process that was started has ended."""
        return name in self._running and self._running[name].poll() is not None

    def failure(self, name: str) -> Flowers17Error:
        """Error of a process that ended unasked, with the last lines of its log."""
        path = self.logs / f"{name}.log"
        with path.open(errors="replace") as log:
            last = "".join(deque(log, maxlen=10)).strip()[-MESSAGE_LIMIT:]
        return Flowers17Error(
            f"expected Prefect's {name} to keep running, it ended; {path} ends with:\n{last}"
        )

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


def serve(
    request: StudyRequest, *, host: str, port: int, limit: int | None, console: Console
) -> None:
    """Serve the UI and run what is started there, until SIGINT, SIGTERM or SIGHUP.

    request: the default parameters of the deployments. limit: how many runs this worker takes at a
    time; None: as many as the work pool lets it. Uses the server that PREFECT_API_URL or Prefect's
    profile names, if there is one, instead of starting one at host and port.
    Raises StoreUnusable, InvalidInput if the port is taken, Flowers17Error if a part fails.
    """
    open_store(request.store).check_writable()
    api, children = configured_api(), Children()
    spare_proxies(api or f"http://{_reachable(host)}:{port}/api")
    with _until_signalled(), ExitStack() as stack:
        if api is None:
            check_port(host, port)
            warn_if_open(host, console)
            api = f"http://{_reachable(host)}:{port}/api"
            stack.enter_context(announced(api))
            stack.enter_context(children.guarded())
            stack.callback(children.stop, "server", SERVER_STOP_S)
            settings = {**_SERVER_SETTINGS, "PREFECT_API_URL": api}
            arguments = ["flows.server", "--host", host, "--port", str(port)]
            children.start("server", arguments, settings)
        else:
            stack.enter_context(children.guarded())
        _register_and_work(api, children, request, limit, stack, console)
    console.print("stopped")


def _register_and_work(
    api: str,
    children: Children,
    request: StudyRequest,
    limit: int | None,
    stack: ExitStack,
    console: Console,
) -> None:
    os.environ["PREFECT_API_URL"] = api
    if _SERVER_AUTH in os.environ:
        os.environ.setdefault(_AUTH, os.environ[_SERVER_AUTH])
    with console.status("starting") if console.is_terminal else nullcontext():
        from flows.registration import register

        _wait_until_healthy(api, children)
        names = asyncio.run(register(request))
    stack.callback(_stop_worker, children, console)
    _start_worker(children, limit)
    console.print(
        f"UI           {api.removesuffix('/api')}\n"
        f"deployments  {', '.join(names)}\n"
        f"store        {request.store}\n"
        f"logs         {children.logs}\n"
        "Ctrl-C stops everything; runs in progress go on at the next start",
        highlight=False,
        soft_wrap=True,
    )
    _watch(children, limit, console)


def _start_worker(children: Children, limit: int | None) -> None:
    name = f"flowers17 on {socket.gethostname()}"
    arguments = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", name]
    if limit:
        arguments += ["--limit", str(limit)]
    children.start("worker", arguments, _WORKER_SETTINGS)


def _stop_worker(children: Children, console: Console) -> None:
    from flowers17.commands.recovery import put_back

    interrupted = flow_runs_here(children.token)
    children.stop("worker", WORKER_STOP_S)
    if interrupted:
        try:
            asyncio.run(put_back(interrupted))
        except Exception as problem:
            console.print(f"runs in progress could not be put back: {problem}", highlight=False)


def _watch(children: Children, limit: int | None, console: Console) -> None:
    """Wait for a signal; start a worker that ended anew, unless it keeps ending."""
    ends: deque[float] = deque(maxlen=3)
    while True:
        time.sleep(1)
        if children.ended("server"):
            raise children.failure("server")
        if children.ended("worker"):
            ends.append(time.monotonic())
            if len(ends) == 3 and ends[-1] - ends[0] < 60:
                raise children.failure("worker")
            console.print("the worker ended unasked and is started again", highlight=False)
            _start_worker(children, limit)


def _wait_until_healthy(api: str, children: Children) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with probing_client() as client:
        while time.monotonic() < deadline:
            if children.ended("server"):
                raise children.failure("server")
            with suppress(httpx.HTTPError):
                if is_healthy(client, api):
                    admitting(api)
                    return
            time.sleep(0.1)
    raise Flowers17Error(
        f"expected a Prefect server to answer at {api} within {START_TIMEOUT_S:.0f} s; start it, "
        "or unset PREFECT_API_URL (and Prefect's profile) to have one started"
    )


def check_port(host: str, port: int) -> None:
    """Raise InvalidInput, which says what to do, unless a server can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as problem:
        raise InvalidInput(
            f"expected to listen at {host}:{port}, which is not possible ({problem}); choose "
            "another --port or --host, or stop what listens there"
        ) from None


def warn_if_open(host: str, console: Console) -> None:
    """Say so if other machines, or other users of this one, could start runs without a password."""
    if _SERVER_AUTH in os.environ:
        return
    if not is_loopback(host):
        others = f"whoever reaches {host}"
    elif not connections_tell_users():
        others = "every user of this machine"
    else:
        return
    console.print(
        f"[yellow]warning[/] {others} can run code here; set {_SERVER_AUTH} (see docs/security.md)",
        highlight=False,
        soft_wrap=True,
    )


def _reachable(host: str) -> str:
    """Address under which this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host


@contextmanager
def _until_signalled() -> Iterator[None]:
    """End the block at the first signal that asks to stop; further ones don't disturb the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, stop) for number in numbers}
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
