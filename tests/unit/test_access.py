"""Access to the server by every kind of host, origin, method, content type and connection."""

import asyncio
import io
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from rich.console import Console

from flowers17.commands import serving
from flows.access import (
    HOSTS_VARIABLE,
    allowed_hosts,
    connection_user,
    connections_tell_users,
    guarded,
    server_options,
)
from tests.support.other_users import STRANGER_ID, as_stranger, needs_root
from tests.support.processes import HANG_S

HOST = "127.0.0.1:4200"
JSON = {"content_type": "application/json"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "websocket")
needs_tables = pytest.mark.skipif(
    not connections_tell_users(), reason="needs a system that tells whose a connection is"
)
Address = tuple[str, int]


def _response(
    method: str = "GET",
    *,
    host: str | None = HOST,
    hosts: frozenset[str] = frozenset({"localhost", "prefect.example.org"}),
    scheme: str = "http",
    same_user: bool = False,
    client: Address | None = None,
    server: Address | None = None,
    **headers: str,
) -> tuple[bool, str]:
    """Whether a request reaches the application, and otherwise the response's text.

    headers: with _ for -.
    """
    reached, sent = [], []
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "websocket" if method == "websocket" else "http",
        "scheme": scheme,
        "headers": [
            (name.encode(), value.encode())
            for name, value in [*([("host", host)] if host is not None else []), *fields]
        ],
        "client": client,
        "server": server,
    }
    if method != "websocket":
        scope["method"] = method

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guarded(application, hosts=hosts, same_user=same_user)(scope, receive, send))
    if reached:
        assert (reached, sent) == ([scope], [])
        return True, ""
    if method == "websocket":
        assert [message["type"] for message in sent] == ["websocket.close"]
        return False, ""
    assert sent[0]["status"] == 403
    return False, sent[1]["body"].decode()


def _write(**request: Any) -> tuple[bool, str]:
    return _response("POST", content_type="application/json", **request)


class TestHost:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        ("host", "served"),
        [
            (HOST, True),
            ("localhost", True),
            ("LOCALHOST:80", True),
            ("[::1]:4200", True),
            ("192.0.2.7:4200", True),
            ("prefect.example.org", True),
            ("Prefect.Example.org:443", True),
            ("hostile.example:4200", False),
            ("localhost.hostile.example", False),
            ("prefect.example.org.", False),
            ("127.0.0.1.hostile.example:4200", False),
            ("localhost:4200@hostile.example", False),
            ("localhost,hostile.example", False),
            ("localhost/hostile.example", False),
            ("2130706433:4200", False),
            ("[hostile.example]", False),
            ("localhost:port", False),
            ("", False),
            (None, False),
        ],
    )
    def test_has_to_be_a_name_of_this_server(
        self, method: str, host: str | None, served: bool
    ) -> None:
        assert _response(method, host=host, **JSON)[0] is served

    def test_is_refused_with_what_to_do(self) -> None:
        _, answer = _response(host="team.example:4200")
        assert "expected an IP address or one of localhost, prefect.example.org" in answer
        assert "got 'team.example:4200'; if that is a name of this server, set " in answer
        assert f"set {HOSTS_VARIABLE} to it" in answer

    def test_is_quoted_in_part_only(self) -> None:
        assert len(_response(host="x" * 60_000)[1]) < 500

    def test_names_come_from_the_address_and_from_the_setting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: "Bench")
        assert allowed_hosts("127.0.0.1") == {"localhost", "127.0.0.1"}
        monkeypatch.setenv(HOSTS_VARIABLE, "Prefect.Example.org, server,")
        named = {"localhost", "prefect.example.org", "server"}
        assert allowed_hosts("::1") == named | {"::1"}
        assert allowed_hosts("0.0.0.0") == named | {"0.0.0.0", "bench"}


class TestOrigin:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        ("origin", "served"),
        [
            (f"http://{HOST}", True),
            (f"https://{HOST}", True),  # behind a proxy that ends TLS
            ("http://127.0.0.1:4201", False),
            ("http://127.0.0.1", False),
            ("http://localhost:4200", False),
            ("http://prefect.example.org", False),
            ("https://hostile.example", False),
            (f"http://{HOST}.hostile.example", False),
            (f"ftp://{HOST}", False),
            (f"http://{HOST}/", False),
            ("null", False),
        ],
    )
    def test_has_to_be_our_own(self, method: str, origin: str, served: bool) -> None:
        assert _response(method, origin=origin, **JSON)[0] is served

    @pytest.mark.parametrize("host", ["prefect.example.org", "[::1]:4200", "LOCALHOST:4200"])
    def test_is_our_own_under_every_name(self, host: str) -> None:
        assert _write(host=host, origin=f"http://{host.lower()}")[0]

    def test_has_to_be_encrypted_where_this_server_is(self) -> None:
        request = {"host": "prefect.example.org", "scheme": "https"}
        assert _write(origin="https://prefect.example.org", **request)[0]
        assert not _write(origin="http://prefect.example.org", **request)[0]

    def test_is_refused_with_what_to_do(self) -> None:
        _, answer = _write(origin="http://hostile.example")
        assert "got one of 'http://hostile.example'; open the UI under the address" in answer


class TestPagesThatHideTheirOrigin:
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize("method", METHODS)
    def test_are_told_by_the_browser(self, method: str, site: str) -> None:
        assert not _response(method, sec_fetch_site=site, **JSON)[0]
        assert not _response(method, sec_fetch_site=site, sec_fetch_dest="iframe", **JSON)[0]

    def test_may_link_to_the_ui(self) -> None:
        linked = {"sec_fetch_site": "cross-site", "sec_fetch_dest": "document"}
        assert _response("GET", **linked)[0]
        assert not _response("POST", **linked, **JSON)[0]

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_are_not_our_own_ones(self, site: str) -> None:
        assert _response("GET", sec_fetch_site=site)[0]

    @pytest.mark.parametrize(
        ("headers", "served"),
        [
            ({}, False),
            ({"content_type": ""}, False),
            ({"content_type": "text/plain"}, False),
            ({"content_type": "text/plain;application/json"}, False),
            ({"content_type": "application/x-www-form-urlencoded"}, False),
            ({"content_type": "multipart/form-data; boundary=x"}, False),
            ({"content_type": "application/json"}, True),
            ({"content_type": "Application/JSON; charset=utf-8"}, True),
            ({"x_prefect_api_version": "0.8.4"}, True),
        ],
    )
    def test_send_what_they_may_send_without_asking(
        self, headers: dict[str, str], served: bool
    ) -> None:
        assert _response("POST", **headers)[0] is served

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
    def test_cannot_send_other_methods_without_asking(self, method: str) -> None:
        assert _response(method)[0]

    def test_are_refused_with_what_to_do(self) -> None:
        _, answer = _response("POST", content_type="text/plain")
        assert "expected application/json, got 'text/plain'; send that header" in answer


@contextmanager
def _connected(host: str = "127.0.0.1", via: str | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield a connection: the client's end, and the end of a server that listens on `host`."""
    families = {True: socket.AF_INET6, False: socket.AF_INET}
    try:
        listening = socket.create_server((host, 0), family=families[":" in host])
    except OSError:
        pytest.skip(f"needs an interface with {host}")
    with listening, socket.socket(families[":" in (via or host)]) as client:
        client.connect((via or host, listening.getsockname()[1]))
        server, _ = listening.accept()
        with server:
            yield client, server


@needs_tables
class TestUser:
    @pytest.mark.parametrize(
        ("host", "via"),
        [("127.0.0.1", None), ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", None)],
    )
    def test_of_a_connection_is_the_one_who_made_it(self, host: str, via: str | None) -> None:
        with _connected(host, via) as (_, server):
            ends = server.getpeername()[:2], server.getsockname()[:2]
            assert connection_user(*ends) == os.geteuid()
            assert connection_user(*reversed(ends)) == os.geteuid()
            assert _write(same_user=True, client=ends[0], server=ends[1])[0]
            mapped = f"::ffff:{ends[0][0]}" if ":" not in host else host
            assert connection_user((mapped, ends[0][1]), ends[1]) == os.geteuid()

    @needs_root
    def test_is_told_from_another_one(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = listening.getsockname()

            def ask() -> bytes:
                with socket.create_connection(address) as client:
                    return client.recv(1)

            def answer() -> tuple[bool, str]:
                with listening.accept()[0] as server:
                    return _write(same_user=True, client=server.getpeername(), server=address)

            with ThreadPoolExecutor(1) as pool:
                answered = pool.submit(answer)
                as_stranger(lambda: len(ask()))
                served, text = answered.result()
        assert not served
        assert f"expected a connection of user 0, got one of user {STRANGER_ID}" in text
        assert "start the server with PREFECT_SERVER_API_AUTH_STRING" in text

    def test_of_a_closed_connection_is_nobody(self) -> None:
        """The kernel shows what was closed as root's."""
        with _connected() as (client, server):
            ends = server.getpeername(), server.getsockname()
            client.close()
            assert connection_user(*ends) is None
            served, answer = _write(same_user=True, client=ends[0], server=ends[1])
        assert not served
        assert "got one of nobody" in answer

    def test_of_a_half_closed_connection_is_its_owner_until_he_closes_it(self) -> None:
        with _connected() as (client, server):
            ends = server.getpeername(), server.getsockname()
            client.shutdown(socket.SHUT_WR)
            assert connection_user(*ends) == os.geteuid()
            assert connection_user(*reversed(ends)) == os.geteuid()
            client.close()
            assert connection_user(*ends) is None

    def test_of_a_port_that_listens_is_nobody(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            assert connection_user(listening.getsockname(), ("127.0.0.1", 1)) is None

    def test_is_asked_for_at_every_request(self) -> None:
        """A port that was free again may be somebody else's now."""
        with _connected() as (client, server):
            request = {"client": server.getpeername(), "server": server.getsockname()}
            assert _write(same_user=True, **request)[0]
            client.close()
            assert not _write(same_user=True, **request)[0]

    def test_is_not_taken_from_what_a_proxy_is_said_to_forward(self) -> None:
        with _connected() as (_, server):
            for forged in (
                ("192.0.2.7", 0),
                ("", 0),
                ("unknown", 0),
                ("127.0.0.1", 0),
                ("127.0.0.1", 70_000),
            ):
                request = {"client": forged, "server": server.getsockname()}
                assert not _write(same_user=True, **request)[0]

    def test_has_to_be_told(self) -> None:
        assert not _write(same_user=True)[0]
        assert not _write(same_user=True, client=None, server=("/run/server.sock", 0))[0]

    def test_of_another_machine_is_not_asked_for(self) -> None:
        request = {"client": ("192.0.2.7", 50_000), "server": ("192.0.2.1", 4200)}
        assert _write(same_user=True, **request)[0]

    @pytest.mark.parametrize("method", METHODS)
    def test_is_asked_for_whatever_the_method(self, method: str) -> None:
        request = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
        assert not _response(method, same_user=True, **request, **JSON)[0]
        assert _response(method, same_user=False, **request, **JSON)[0]


async def _answering(scope: Any, receive: Any, send: Any) -> None:
    """Answer as an application that says itself who may frame it."""
    own = [
        (b"content-length", b"2"),
        (b"X-Frame-Options", b"SAMEORIGIN"),
        (b"content-security-policy", b"default-src 'self'"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": own})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """Return the address of a server for its own user."""
    application = guarded(_answering, hosts={"localhost"}, same_user=True)
    options = server_options(same_user=True)
    config = uvicorn.Config(application, lifespan="off", log_level="error", **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        served = pool.submit(server.run, [listening])
        yield listening.getsockname()
        server.should_exit = True
        served.result()


def _received(connection: socket.socket) -> str:
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


@needs_tables
class TestConnection:
    REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @needs_root
    def test_of_another_user_is_closed_before_it_sends_anything(self, address: Address) -> None:
        def attempt() -> list[str]:
            opened = [socket.create_connection(address, timeout=HANG_S) for _ in range(200)]
            return [_received(connection) for connection in opened]

        answers = set(as_stranger(attempt))
        assert len(answers) == 1
        assert f"got one of user {STRANGER_ID}; to serve other users" in answers.pop()

    def test_of_the_owner_that_is_half_closed_is_answered(self, address: Address) -> None:
        with socket.create_connection(address, timeout=HANG_S) as connection:
            connection.sendall(self.REQUEST)
            connection.shutdown(socket.SHUT_WR)
            assert _received(connection).endswith("\r\n\r\nok")

    @pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("hostile.example", 403)])
    def test_is_answered_with_what_keeps_other_pages_out(
        self, address: Address, host: str, status: int
    ) -> None:
        reply = httpx.get(
            f"http://127.0.0.1:{address[1]}", headers={"Host": host}, trust_env=False, timeout=30
        )
        assert reply.status_code == status
        assert reply.headers.get_list("x-frame-options") == ["DENY"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        policies = reply.headers.get_list("content-security-policy")
        own = ["default-src 'self'"] if status == 200 else []
        assert policies == [*own, "frame-ancestors 'none'"]


def test_what_is_no_request_passes() -> None:
    reached = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    layer = guarded(application, hosts=(), same_user=True)
    asyncio.run(layer({"type": "lifespan"}, None, None))
    assert reached == [{"type": "lifespan"}]


class TestServe:
    @pytest.mark.parametrize(
        ("host", "tells_users", "password", "warning"),
        [
            ("127.0.0.1", True, False, ""),
            ("localhost", True, False, ""),
            ("::1", True, False, ""),
            ("127.0.0.1", False, False, "every user of this machine can run code here"),
            ("0.0.0.0", True, False, "whoever reaches 0.0.0.0 can run code here"),
            ("bench.example", True, False, "whoever reaches bench.example can run code here"),
            ("0.0.0.0", False, True, ""),
        ],
    )
    def test_warns_of_whom_it_lets_in(
        self,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
        tells_users: bool,
        password: bool,
        warning: str,
    ) -> None:
        monkeypatch.setattr(serving.access, "connections_tell_users", lambda: tells_users)
        if password:
            monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "admin:secret")
        console = Console(file=io.StringIO())
        serving.warn_if_open(host, console)
        assert isinstance(console.file, io.StringIO)
        warnings = console.file.getvalue()
        assert warning in warnings
        assert bool(warnings) == bool(warning)
