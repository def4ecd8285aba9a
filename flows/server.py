"""Prefect's server with its API and its UI, guarded: `serve` and a team's service start it.

What `prefect server start` does with the same settings, for pages of its own origin, and without a
password for its own user only. The site of a store is beside it, behind the same password.
"""

import argparse
import asyncio
import gc
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from flows import access
from flows.access import Application
from flows.database_turns import take_turns

PREFIX = "/flowers17"


def _serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM, by default at the address that Prefect's settings name.

    options: with `fd`, of sockets that listen at that address already.
    """
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    take_turns()
    _order_artifacts()
    settings = get_current_settings().server
    host, port = options.host or settings.api.host, options.port or settings.api.port
    same_user = settings.api.auth_string is None and access.connections_tell_users()
    application: Application = create_app(final=True)
    if options.store:
        password = settings.api.auth_string
        secret = password.get_secret_value() if password else None
        own_site = site_of(options.store, secret, ui="", weights_dir=options.weights_dir)
        application = beside(application, own_site)
    config = uvicorn.Config(
        access.guarded(application, hosts=access.allowed_hosts(host), same_user=same_user),
        host=host,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
        **access.server_options(same_user=same_user),
    )
    server = uvicorn.Server(config)
    listeners = [socket.socket(fileno=number) for number in options.fd]
    with suppress(KeyboardInterrupt):
        server.run(listeners or None)
    sys.exit(0 if server.started else 1)


def _order_artifacts() -> None:
    """Let a run's artifacts stand in the order in which they were published, the report's.

    Prefect's UIs ask for the order of their identifiers, which are random.
    """
    from prefect.server.database import provide_database_interface
    from prefect.server.schemas.sorting import ArtifactSort

    prefects = ArtifactSort.as_sql_sort

    def as_sql_sort(sort: ArtifactSort) -> Iterable[Any]:
        if sort == ArtifactSort.ID_DESC:
            return [provide_database_interface().Artifact.created.asc()]
        return prefects(sort)

    ArtifactSort.as_sql_sort = as_sql_sort  # type: ignore[assignment, method-assign]


def site_of(
    store: str, password: str | None = None, *, ui: str | None = None, **options: Any
) -> Application:
    """The site behind a password, if there is one; it is imported when it is asked for first.

    ui: as in `site.pages.Pages`. options: of `site.trial.TrialOptions`.
    """

    @cache
    def own_site() -> Application:
        from flowers17.site.application import site
        from flowers17.site.trial import TrialOptions

        return site(TrialOptions(store, **options), ui=ui)

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await (await asyncio.to_thread(own_site))(scope, receive, send)

    return access.with_password(answering, password) if password else answering


def beside(application: Application, own_site: Application) -> Application:
    """ASGI application with the site at its addresses, and another one at all others."""

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        is_site = scope["type"] == "http" and (path == PREFIX or path.startswith(f"{PREFIX}/"))
        await (own_site if is_site else application)(scope, receive, send)

    return answering


if __name__ == "__main__":
    gc.set_threshold(50_000)  # what is imported is no garbage
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--fd", type=int, action="append", default=[])
    parser.add_argument("--store", help="store of the site beside the UI; without it, no site")
    parser.add_argument("--weights-dir", type=Path)
    _serve(parser.parse_args())
