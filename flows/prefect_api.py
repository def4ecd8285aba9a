"""The Prefect API that a person has configured, and the way to it, with or without a proxy."""

import os
import time
import tomllib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from flowers17.errors import Flowers17Error
from flows.access import is_loopback
from tasks.own_files import own_file, trusted_home

if TYPE_CHECKING:
    import httpx

SETTINGS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("settings.yaml").read_text()
)
START_TIMEOUT_S = 180.0
BUSY_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
_REFUSALS = (HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def configured_api() -> str | None:
    """API that PREFECT_API_URL or Prefect's active profile names, if any.

    Read from the files, since importing Prefect takes seconds in which a server could start.
    Raises Flowers17Error if Prefect could not read its profiles either, or if another user may have
    written them.
    """
    path = trusted_home() / "profiles.toml"
    try:
        with os.fdopen(own_file(path, os.O_RDONLY), encoding="utf-8") as stream:
            profiles = tomllib.loads(stream.read())
        active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
        named = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    except FileNotFoundError:
        named = None
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        reason = problem if isinstance(problem, OSError | ValueError) else "no tables of settings"
        raise Flowers17Error(
            f"{path}: expected Prefect's profiles as TOML, got {reason}; mend the file, or move "
            "it away to do without profiles"
        ) from problem
    api = os.environ.get("PREFECT_API_URL", named)
    return str(api) if api else None


def spare_proxies(api: str | None) -> None:
    """Keep what goes to this machine off proxies, in this process and those that it starts.

    api: whose host is added if it is this machine under another address.
    """
    host = urlsplit(api or "").hostname or ""
    names = [*_LOOPBACK, host] if is_loopback(host) else [*_LOOPBACK]
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if direct.strip() != "*":
        own_names = [name.strip() for name in direct.split(",") if name.strip()]
        direct = ",".join(dict.fromkeys([*own_names, *names]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = direct


def proxy_of(api: str) -> str | None:
    """Proxy that requests to an API go through, without its credentials."""
    from urllib.request import getproxies, proxy_bypass  # slow to import, and rarely needed

    address = urlsplit(api)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    return proxy.rpartition("@")[2] if "@" in proxy else proxy


def probing_client() -> "httpx.Client":
    """Client for `is_healthy`; raises Flowers17Error if no client could use the proxies.

    One for all questions, since making one takes long.
    """
    import httpx  # takes longer than starting a server

    try:
        return httpx.Client(timeout=ANSWER_TIMEOUT_S)
    except (ImportError, ValueError, httpx.InvalidURL) as problem:
        names = [name for name in os.environ if name.lower().endswith("_proxy")]
        raise Flowers17Error(
            f"expected usable proxies in {', '.join(names)}, got: {problem}. Correct them, or "
            "unset them to do without"
        ) from problem


def is_healthy(client: "httpx.Client", api: str) -> bool:
    """Whether an API answers, and is well.

    Raises Flowers17Error if what stands before it refuses to let us through, and httpx.HTTPError as
    long as nothing answers.
    """
    import httpx

    try:
        reply = client.get(f"{api}/health")
        refusal = f"{reply.status_code} {reply.reason_phrase} {reply.text[:200]!r}"
        refused = reply.status_code in _REFUSALS  # Prefect asks nobody for credentials here
    except httpx.ProxyError as problem:
        refusal, refused = str(problem), True
    if refused:
        proxy = proxy_of(api)
        gateway = (
            f"the proxy {proxy} (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)" if proxy else "a gateway"
        )
        raise Flowers17Error(
            f"{api}: expected an answer of this Prefect server, {gateway} refused: {refusal}. Ask "
            "who runs it to let you through, or name the server's host in NO_PROXY to go without it"
        )
    return reply.status_code == HTTPStatus.OK


def answers_within(api: str, seconds: float, has_ended: Callable[[], bool]) -> bool:
    """Whether an API answers in time; one that takes connections, but answers late, gets more.

    has_ended: whether its process is gone, so that it will not. Raises as `is_healthy` does.
    """
    import httpx

    began = time.monotonic()
    with probing_client() as client:
        while time.monotonic() < began + seconds and not has_ended():
            try:
                if is_healthy(client, api):
                    return True
            except httpx.ReadTimeout:
                seconds = max(seconds, BUSY_TIMEOUT_S)
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
    return False


def admitting(api: str) -> str:
    """Address of an API that answers; raises Flowers17Error if it refuses us."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        try:
            client.api_version()
        except PrefectHTTPStatusError as problem:
            if problem.response.status_code not in (401, 403):
                raise
            credentials = "other ones" if PREFECT_API_AUTH_STRING.value() else "none"
            raise Flowers17Error(
                f"{api}: expected the credentials of this Prefect server, got {credentials}; set "
                "PREFECT_API_AUTH_STRING to the user:password that its operator gave you"
            ) from None
    return api
