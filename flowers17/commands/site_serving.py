"""`flowers17 site`: the site of a store alone, without Prefect's server."""

import os
from typing import Any

from rich.console import Console

from flowers17.commands.serving import reachable, warn_if_open
from flows.access import allowed_hosts, connections_tell_users, guarded, server_options
from flows.serve_lock import listening
from flows.site_server import PREFIX, site_of

PASSWORD_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
GRACE_S = 3  # for answers under way when it is to end


def serve_site(store: str, *, host: str, port: int, console: Console, **options: Any) -> None:
    """Serve the site until SIGINT or SIGTERM, behind the password of a team's server if it is set.

    options: of `site.trial.TrialOptions`. Raises InvalidInput if the port is taken.
    """
    import uvicorn

    warn_if_open(host, console)
    password = os.environ.get(PASSWORD_VARIABLE)
    same_user = not password and connections_tell_users()
    own_site = site_of(store, password, ui=os.environ.get("PREFECT_UI_URL"), **options)
    application = guarded(own_site, hosts=allowed_hosts(host), same_user=same_user)
    config = uvicorn.Config(
        application,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        **server_options(same_user=same_user),
    )
    with listening(host, port) as listeners:
        address = f"http://{reachable(host)}:{port}{PREFIX}/"
        console.print(f"{address}\nCtrl-C stops it", highlight=False, soft_wrap=True)
        uvicorn.Server(config).run(listeners)
