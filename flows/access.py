"""Who gets an answer from a server on this machine: its own pages, and programs of its own user.

An address on loopback is no password. Pages of other sites reach it through the browser, under its
address or under a name of theirs that leads there (DNS rebinding); other users reach it directly.
"""

import base64
import hmac
import os
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

Application = Callable[..., Awaitable[None]]  # ASGI: of scope, receive and send
HOSTS_VARIABLE = "FLOWERS17_ALLOWED_HOSTS"
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_QUESTION_BYTES, _ANY = 72, 0xFFFFFFFF
# ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: an answer still has a way. Source: tcp_states.h.
_OPEN_STATES = (1, 4, 5, 8)
ACCEPTED_AT_ONCE = 128  # connections that wait for the server or are new to it
_HEADERS = {
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
}
_NO_FRAMES = (b"content-security-policy", b"frame-ancestors 'none'")
LONGEST_QUOTE = 100
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:/?#@\s]+))(?::\d+)?")
_FOREIGN_SITES = ("cross-site", "same-site")


def guarded(application: Application, *, hosts: Collection[str], same_user: bool) -> Application:
    """ASGI application that refuses pages of other origins, and other users.

    hosts: the names in lower case that a request may be addressed to; IP addresses always may be,
    since no other site can take one for its name. same_user: answer connections from this machine
    only if they are this user's or root's; uvicorn must then leave `X-Forwarded-For` alone.
    Pages of other origins neither frame its answers nor embed them.
    """

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return

        async def send_sealed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _sealed(message.get("headers", ()))}
            await send(message)

        refusal = _host_refusal(scope, hosts) or _page_refusal(scope)
        if not refusal and same_user:
            refusal = _user_refusal(scope)
        if not refusal:
            await application(scope, receive, send_sealed)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send_sealed({"type": "http.response.start", "status": 403, "headers": kind})
            await send({"type": "http.response.body", "body": f"{refusal}\n".encode()})

    return answering


def with_password(application: Application, password: str) -> Application:
    """ASGI application that asks for a password as Prefect's API does: HTTP basic authentication.

    password: `user:password`.
    """
    expected = b"Basic " + base64.b64encode(password.encode())
    headers = [(b"www-authenticate", b'Basic realm="flowers17"'), (b"content-type", b"text/plain")]

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        credentials = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(credentials, expected):
            await application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"expected the server's password\n"})

    return answering


def server_options(*, same_user: bool) -> dict[str, Any]:
    """Options of uvicorn that go with `guarded`.

    same_user: close the connections of other users before they send anything, so that they cannot
    use up the server's files.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol  # slow to import

    class OwnUserProtocol(H11Protocol):
        """HTTP for this user and root."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if refusal := _user_refusal({"client": self.client, "server": self.server}):
                answer = f"{refusal}\n"  # of ASCII
                head = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\n"
                head += f"content-length: {len(answer)}\r\nconnection: close\r\n\r\n"
                transport.write((head + answer).encode())
                transport.close()

        def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it
            cycle = self.cycle
            answering = cycle is not None and not (cycle.response_complete or cycle.more_body)
            if answering:  # who has sent all may still wait for it
                self.cycle.keep_alive = False
            return answering

    return {
        "http": OwnUserProtocol if same_user else H11Protocol,
        "backlog": ACCEPTED_AT_ONCE,
        "proxy_headers": not same_user,
    }


def allowed_hosts(address: str) -> frozenset[str]:
    """Host names that lead to a server on this address, and those that are set."""
    names = {"localhost", address, *os.environ.get(HOSTS_VARIABLE, "").split(",")}
    if not is_loopback(address):
        names.add(socket.gethostname())
    return frozenset(name.strip().lower() for name in names if name.strip())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    with suppress(ValueError):
        return _plain(host).is_loopback
    return host == "localhost"


@cache
def connections_tell_users() -> bool:
    """Whether this system tells whose a connection is; Linux does."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        return connection_user(client.getsockname(), server.getsockname()) == os.geteuid()


def connection_user(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Id of the user who holds the client's end of a TCP connection, if one does.

    client, server: address and port of both ends. What was closed is nobody's: Linux shows it as
    root's, without an inode. Source: sock_diag(7), linux/inet_diag.h.
    """
    if sys.platform != "linux":
        return None
    try:
        ends = [(_plain(host), port) for host, port in (client, server)]
        (source, source_port), (target, target_port) = ends
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        question = (
            struct.pack("=IHHII", _QUESTION_BYTES, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
            + struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY)
            + struct.pack("!HH16s16s", source_port, target_port, source.packed, target.packed)
            + struct.pack("=III", 0, _ANY, _ANY)
        )
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(question)
            answer = kernel.recv(4096)
        kind, state = struct.unpack_from("=4xH11xB", answer)
        if kind != _SOCK_DIAG_BY_FAMILY or state not in _OPEN_STATES:
            return None
        user, inode = struct.unpack_from("=80xII", answer)
    except (OSError, ValueError, struct.error):
        return None
    return user if inode else None


def _plain(host: str) -> IPv4Address | IPv6Address:
    """Address, of IPv4 also where IPv6 carries it; raises ValueError for a name."""
    address = ip_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _sealed(headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers with ours in place of the application's; of policies, both hold."""
    own = [(name, value) for name, value in headers if name.lower() not in _HEADERS]
    return [*own, *_HEADERS.items(), _NO_FRAMES]


def _header(scope: Any, name: bytes) -> str:
    """Header in lower case, "" if there is none; a repeated one has commas."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ",".join(values).lower()


def _quoted(value: str) -> str:
    return repr(value if len(value) <= LONGEST_QUOTE else f"{value[:LONGEST_QUOTE]}…")


def _host_refusal(scope: Any, hosts: Collection[str]) -> str | None:
    """Problem with the host that a request is addressed to, if there is one."""
    header = _header(scope, b"host")
    if host := _HOST.fullmatch(header):
        name = host.group(1) or host.group(2)
        if name in hosts:
            return None
        with suppress(ValueError):
            ip_address(name)
            return None
    return (
        f"Host: expected an IP address or one of {', '.join(sorted(hosts))}, got "
        f"{_quoted(header)}; if that is a name of this server, set {HOSTS_VARIABLE} to it where "
        "the server starts, and have a proxy pass the name on as the browser has it"
    )


def _page_refusal(scope: Any) -> str | None:
    """Reason why a request may come from a page of another origin, if there is one."""
    host, origin = _header(scope, b"host"), _header(scope, b"origin")
    if origin:
        encrypted = scope.get("scheme") in ("https", "wss")
        # Behind a proxy that ends TLS, this server may not know that pages are at https.
        if origin == f"https://{host}" or (origin == f"http://{host}" and not encrypted):
            return None
        return (
            f"Origin: expected a page of {_quoted(host)} itself, got one of {_quoted(origin)}; "
            "open the UI under the address that it is served at"
        )
    method = scope.get("method", "GET")
    # A link from another site may open the UI, as a tab of its own.
    opened = (method, _header(scope, b"sec-fetch-dest")) == ("GET", "document")
    if _header(scope, b"sec-fetch-site") in _FOREIGN_SITES and not opened:
        return "Sec-Fetch-Site: expected a request of a page of this server, got another page's"
    # Before it sends anything else than GET, HEAD and such a POST elsewhere, a browser asks.
    kind = _header(scope, b"content-type").split(";")[0].strip()
    is_permitted = kind == "application/json" or _header(scope, b"x-prefect-api-version")
    if method == "POST" and not is_permitted:
        return (
            "Origin: expected the address of this server, got none; a browser sends it by itself, "
            f"another program sends the header `Origin: {scope.get('scheme', 'http')}://{host}`. "
            f"Prefect's API takes Content-Type instead: expected application/json, got "
            f"{_quoted(kind)}; send that header, also with an empty body, or "
            "X-PREFECT-API-VERSION as Prefect's clients do"
        )
    return None


def _user_refusal(scope: Any) -> str | None:
    """Reason why a connection from this machine may be another user's, if there is one."""
    client, server = scope.get("client"), scope.get("server")
    if not (client and server):
        return "expected a connection over TCP, got one that doesn't tell whose it is"
    if not (is_loopback(client[0]) or is_loopback(server[0])):
        return None
    user = connection_user(client[:2], server[:2])
    if user in (os.geteuid(), 0):
        return None
    return (
        f"expected a connection of user {os.geteuid()}, got one of "
        f"{'nobody' if user is None else f'user {user}'}; to serve other users, or through a proxy "
        "of another user, start the server with PREFECT_SERVER_API_AUTH_STRING"
    )
