"""The Prefect API that a person has configured or serves here, and the way to it.

A running `flowers17 serve` is found by its lock, which is the kernel's, held for as long as it
lives. Without it a second command would open the same database through a server of its own.
"""

import fcntl
import json
import os
import socket
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from flowers17.errors import Flowers17Error, InvalidInput
from flowers17.files import yaml_beside
from flows.access import ACCEPTED_AT_ONCE, is_loopback
from tasks.own_files import own_file, own_prefect_home, prefect_home, trusted_home

CHECKOUT = Path(__file__).resolve().parent.parent
POOL = "flowers17"
LOCK = "flowers17-serve.json"  # in Prefect's home
SETTINGS: dict[str, dict[str, str]] = yaml_beside(__file__, "settings.yaml")
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


def bypass_proxies(api: str | None) -> None:
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


def answers_within(api: str, seconds: float, has_ended: Callable[[], bool]) -> bool:
    """Whether an API answers in time, and is well; one that takes connections gets more.

    has_ended: whether its process is gone, so that it will not. Raises Flowers17Error if no client
    could use the proxies, or if what stands before the API refuses to let us through.
    """
    import httpx  # takes longer than starting a server

    began = time.monotonic()
    try:
        client = httpx.Client(timeout=ANSWER_TIMEOUT_S)
    except (ImportError, ValueError, httpx.InvalidURL) as problem:
        names = [name for name in os.environ if name.lower().endswith("_proxy")]
        raise Flowers17Error(
            f"expected usable proxies in {', '.join(names)}, got: {problem}. Correct them, or "
            "unset them to do without"
        ) from problem
    with client:
        while time.monotonic() < began + seconds and not has_ended():
            try:
                reply = client.get(f"{api}/health")
                if reply.status_code in _REFUSALS:  # Prefect asks nobody for credentials here
                    raise _refusal(
                        api, f"{reply.status_code} {reply.reason_phrase} {reply.text[:200]!r}"
                    )
                if reply.status_code == HTTPStatus.OK:
                    return True
            except httpx.ProxyError as problem:
                raise _refusal(api, str(problem)) from problem
            except httpx.ReadTimeout:
                seconds = max(seconds, BUSY_TIMEOUT_S)
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
    return False


def _refusal(api: str, message: str) -> Flowers17Error:
    proxy = proxy_of(api)
    gateway = f"the proxy {proxy} (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)" if proxy else "a gateway"
    return Flowers17Error(
        f"{api}: expected an answer of this Prefect server, {gateway} refused: {message}. Ask "
        "who runs it to let you through, or name the server's host in NO_PROXY to go without it"
    )


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


def served_api() -> str | None:
    """API of the `serve` that runs on this Prefect home, if there is one.

    Raises Flowers17Error if somebody else announced it: credentials are sent to what it names.
    """
    try:
        stream = os.fdopen(own_file(prefect_home() / LOCK, os.O_RDONLY))
    except FileNotFoundError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(ValueError):  # it is just starting
                return json.load(stream)["api"]
    return None


@contextmanager
def announced(api: str) -> Iterator[None]:
    """Let `served_api` find this API; raises Flowers17Error if another one is served already."""
    home = own_prefect_home()
    with os.fdopen(own_file(home / LOCK, os.O_RDWR | os.O_CREAT), "r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Flowers17Error(
                f"expected no other `flowers17 serve` on {home}, found the one at "
                f"{served_api()}; use it, stop it, or set PREFECT_HOME to another folder"
            ) from None
        stream.truncate(0)
        stream.write(json.dumps({"api": api}))
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listen at every address that a host means; yield the sockets.

    While they listen, nobody else can answer there, also if he had bound the port before.
    Raises InvalidInput, which says what to do, if that is not possible.
    """
    with ExitStack() as stack:
        listeners = []
        try:
            for family, _, _, _, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(address)
                listener.listen(ACCEPTED_AT_ONCE)
                listeners.append(listener)
        except (OSError, OverflowError) as problem:
            raise InvalidInput(
                f"expected to listen at {host}:{port}, which is not possible ({problem}); choose "
                "another --port or --host, or stop what listens there"
            ) from None
        yield listeners
