"""`flowers17 serve`: Prefect's server with its UI, the deployments and a worker, as one command.

`flowers17 site`: the site of a store alone, without them.

Server and worker log to files in Prefect's home. When `serve` is stopped, runs in progress are put
back, and the next one takes them up; when it is killed, a reaper ends what it had started.
"""

import asyncio
import importlib
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from types import FrameType
from typing import Any, NoReturn

import httpx
from rich.console import Console

from flowers17.commands.children import Children
from flowers17.config.run_options import SITE_STORE_VARIABLE, SITE_VARIABLE
from flowers17.errors import Flowers17Error
from flowers17.request import FORMS, StudyRequest
from flowers17.shared.store import open_store
from flowers17.terminal import Terminal
from flowers17.validation import validated
from flows import access, prefect_api
from flows.reaper import flow_runs_here
from flows.server import PREFIX, site_of

WORKER_STOP_S = 45.0
SERVER_STOP_S = 20.0
LOOK_S = 10  # seconds from one look for dead runs to the next
GRACE_S = 3  # for answers under way when it is to end
_AUTH, _SERVER_AUTH = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"


def serve(
    request: StudyRequest, *, host: str, port: int, limit: int | None, console: Terminal
) -> None:
    """Serve the UI and run what is started there, until SIGINT, SIGTERM or SIGHUP.

    request: the default parameters of the deployments. limit: how many runs this worker takes at a
    time; None: as many as the work pool lets it. Uses the server that PREFECT_API_URL or Prefect's
    profile names, if there is one, instead of starting one at host and port.
    Raises StoreUnusable, InvalidInput if the port is taken, Flowers17Error if a part fails.
    """
    validated(FORMS["study"], request)  # which every rule of a flow fits
    store = open_store(request.store)
    store.check_writable()
    os.environ[SITE_STORE_VARIABLE] = store.address
    api, children = prefect_api.configured_api(), Children()
    prefect_api.bypass_proxies(api or f"http://{_reachable(host)}:{port}/api")
    with _until_signalled(), ExitStack() as stack:
        if api is None:
            # From here on nobody else can answer there, until the worker has ended.
            listeners = stack.enter_context(prefect_api.listening(host, port))
            warn_if_open(host, console)
            api = f"http://{_reachable(host)}:{port}/api"
            stack.enter_context(prefect_api.announced(api))
            stack.enter_context(children.guarded())
            stack.callback(children.stop, "server", SERVER_STOP_S)
            settings = {**prefect_api.SETTINGS["server"], "PREFECT_API_URL": api}
            options = ["flows.server", "--host", host, "--store", store.address]
            options += ["--weights-dir", str(request.weights_dir)] if request.weights_dir else []
            children.start("server", options, settings, listeners)
            os.environ.setdefault(SITE_VARIABLE, f"{api.removesuffix('/api')}/flowers17")
        else:
            stack.enter_context(children.guarded())
        _register_and_work(api, children, request, limit, console)
    console.print("stopped")


def _register_and_work(
    api: str, children: Children, request: StudyRequest, limit: int | None, console: Terminal
) -> None:
    alone = prefect_api.configured_api() is None
    os.environ["PREFECT_API_URL"] = api
    if _SERVER_AUTH in os.environ:
        os.environ.setdefault(_AUTH, os.environ[_SERVER_AUTH])
    with console.status("starting") if console.is_terminal else nullcontext():
        from flowers17.commands.recovery import put_back
        from flows.registration import register

        importlib.import_module("flows.study")  # while the server starts
        _wait_until_healthy(api, children)
        names = asyncio.run(register(request, alone=alone))
    try:
        _start_worker(children, limit)
        console.text_line(
            f"UI           {api.removesuffix('/api')}\n"
            f"deployments  {', '.join(names)}\n"
            f"store        {request.store}\n"
            f"site         {os.environ.get(SITE_VARIABLE, 'none: the server is another one')}\n"
            f"logs         {children.logs}\n"
            "Ctrl-C stops everything; runs in progress continue at the next start"
        )
        _watch(children, request, limit, console)
    finally:
        interrupted = flow_runs_here(children.token)
        children.stop("worker", WORKER_STOP_S)
        if interrupted:
            try:
                put_back(interrupted)
            except Exception as problem:
                console.text_line(f"runs in progress could not be put back: {problem}")


def _start_worker(children: Children, limit: int | None) -> None:
    arguments = ["prefect", "worker", "start", "--type", "process", "--pool", prefect_api.POOL]
    arguments += ["--name", f"flowers17 on {socket.gethostname()}"]
    if limit:
        arguments += ["--limit", str(limit)]
    children.start("worker", arguments, prefect_api.SETTINGS["worker"])


def _watch(children: Children, request: StudyRequest, limit: int | None, console: Terminal) -> None:
    """Wait for a signal; start a worker that ended anew, unless it keeps ending.

    Meanwhile end on the server what dead runs of the store left there.
    """
    from tasks.leftovers import end_dead_runs

    ends: deque[float] = deque(maxlen=3)
    for second in count():
        time.sleep(1)
        children.shorten_logs()
        if second % LOOK_S == 0:
            with suppress(httpx.HTTPError):  # a server that is not ours may be gone for a while
                end_dead_runs(open_store(request.store))
        if children.ended("server"):
            raise children.failure("server")
        if children.ended("worker"):
            ends.append(time.monotonic())
            if len(ends) == 3 and ends[-1] - ends[0] < 60:
                raise children.failure("worker")
            console.text_line("the worker ended by itself and is started again")
            _start_worker(children, limit)


def _wait_until_healthy(api: str, children: Children) -> None:
    limit_s = prefect_api.START_TIMEOUT_S
    if prefect_api.answers_within(api, limit_s, lambda: children.ended("server")):
        prefect_api.admitting(api)
    elif children.ended("server"):
        raise children.failure("server")
    else:
        raise Flowers17Error(
            f"expected a Prefect server to answer at {api} within {limit_s:.0f} s; start "
            "it, or unset PREFECT_API_URL (and Prefect's profile) to have one started"
        )


def serve_site(store: str, *, host: str, port: int, console: Console, **options: Any) -> None:
    """Serve the site until SIGINT or SIGTERM, behind the password of a team's server if it is set.

    options: of `site.trial.TrialOptions`. Raises InvalidInput if the port is taken.
    """
    import uvicorn

    warn_if_open(host, console)
    password = os.environ.get(_SERVER_AUTH)
    same_user = not password and access.connections_tell_users()
    own_site = site_of(store, password, ui=os.environ.get("PREFECT_UI_URL"), **options)
    application = access.guarded(own_site, hosts=access.allowed_hosts(host), same_user=same_user)
    config = uvicorn.Config(
        application,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        **access.server_options(same_user=same_user),
    )
    with prefect_api.listening(host, port) as listeners:
        address = f"http://{_reachable(host)}:{port}{PREFIX}/"
        console.print(f"{address}\nCtrl-C stops it", highlight=False, soft_wrap=True)
        uvicorn.Server(config).run(listeners)


def warn_if_open(host: str, console: Console) -> None:
    """Say so if other machines, or other users of this one, could start runs without a password."""
    if _SERVER_AUTH in os.environ:
        return
    if not access.is_loopback(host):
        others = f"whoever reaches {host}"
    elif not access.connections_tell_users():
        others = "every user of this machine"
    else:
        return
    words = f"{others} can run code here; set {_SERVER_AUTH} (see docs/security.md)"
    console.print(f"[yellow]warning[/] {words}", highlight=False, soft_wrap=True)


def _reachable(host: str) -> str:
    """Address under which this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
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
