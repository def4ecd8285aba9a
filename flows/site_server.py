"""The site of a store beside Prefect's server, or alone: behind the same password."""

import asyncio
from functools import cache
from typing import Any

from flows.access import with_password
from flows.database_retry import Application

PREFIX = "/flowers17"


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

    return with_password(answering, password) if password else answering


def beside(application: Application, own_site: Application) -> Application:
    """ASGI application with the site at its addresses, and another one at all others."""

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        is_site = scope["type"] == "http" and (path == PREFIX or path.startswith(f"{PREFIX}/"))
        await (own_site if is_site else application)(scope, receive, send)

    return answering
