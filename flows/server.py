"""Prefect's server with its API and its UI, guarded: `serve` and a team's service start it.

What `prefect server start` does with the same settings, for pages of its own origin, and without a
password for its own user only.
"""

import argparse
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


def _serve(
    host: str | None,
    port: int | None,
    listeners: list[socket.socket],
    store: str | None,
    weights_dir: Path | None,
) -> None:
    """Serve until SIGINT or SIGTERM, by default at the address that Prefect's settings name.

    listeners: sockets that listen at that address already. store: of the site; None: no site.
    """
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.server.utilities.database import get_dialect
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, get_current_settings

    from flows.access import allowed_hosts, connections_tell_users, guarded, server_options
    from flows.database_retry import Application, retrying

    _order_artifacts()
    settings = get_current_settings().server
    host, port = host or settings.api.host, port or settings.api.port
    same_user = settings.api.auth_string is None and connections_tell_users()
    application: Application = create_app(final=True)
    if get_dialect(PREFECT_API_DATABASE_CONNECTION_URL.value()).name == "sqlite":
        application = retrying(application)
    if store:
        from flows.site_server import beside, site_of

        password = settings.api.auth_string
        secret = password.get_secret_value() if password else None
        own_site = site_of(store, secret, ui="", weights_dir=weights_dir)
        application = beside(application, own_site)
    config = uvicorn.Config(
        guarded(application, hosts=allowed_hosts(host), same_user=same_user),
        host=host,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
        **server_options(same_user=same_user),
    )
    server = uvicorn.Server(config)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--fd", type=int, action="append", default=[])
    parser.add_argument("--store", help="store of the site beside the UI; without it, no site")
    parser.add_argument("--weights-dir", type=Path)
    options = parser.parse_args()
    sockets = [socket.socket(fileno=number) for number in options.fd]
    _serve(options.host, options.port, sockets, options.store, options.weights_dir)
