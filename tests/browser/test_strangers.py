"""Pages of others in a real browser, and other users of the machine, get nothing of `serve`."""

import base64
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.access import HOSTS_VARIABLE
from tests.support.homes import migrated_home
from tests.support.hostile_page import (
    OWN_NAME,
    STRANGER,
    Bait,
    attempts,
    hostile_site,
    rebound,
)
from tests.support.other_users import STRANGER_ID, as_stranger, needs_root
from tests.support.processes import (
    HANG_S,
    eventually,
    free_port,
    output_of,
    python,
)
from tests.support.serving import NO_BLOCKS, Serving, told

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]
PASSWORD = "admin:open sesame"
CLIENTS = """
import asyncio, sys
from prefect.cli import app
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.clients import get_events_client, get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.logging.clients import get_logs_subscriber
from prefect.variables import Variable

async def first(subscriber):
    return await asyncio.wait_for(anext(aiter(subscriber)), 60)

async def main():
    Variable.set("mine", 1, overwrite=True, _sync=True)
    event = Event(event="flowers17.test", resource={"prefect.resource.id": "test"})
    own_events = EventFilter(event=EventNameFilter(name=["flowers17.test"]))
    async with get_client() as client:
        async with get_events_subscriber(own_events) as events, get_events_client() as emitting:
            await emitting.emit(event)
            print((await first(events)).event)
        async with get_logs_subscriber():  # what it sends is off by default
            print("logs")
        await client.delete_variable_by_name("mine")

sys.argv = "prefect variable set own 1 --overwrite".split()
try:
    app()
except SystemExit as end:
    if end.code:
        raise
asyncio.run(main())
"""


@needs_root
def test_another_user_who_had_bound_the_port_does_not_get_it(
    beset_serving: tuple[Serving, bool],
) -> None:
    _, took_over = beset_serving
    assert not took_over


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An owner's client of a server with a password, CSRF protection and a name."""
    port, home = free_port(), migrated_home(tmp_path_factory.mktemp("team"))
    settings = {
        **NO_BLOCKS,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        HOSTS_VARIABLE: OWN_NAME,
    }
    address = f"http://127.0.0.1:{port}/api/"
    auth = httpx.BasicAuth(*PASSWORD.split(":"))
    with (
        python("-m", "flows.server", env=settings),
        httpx.Client(base_url=address, trust_env=False, auth=auth, timeout=HANG_S) as client,
    ):
        assert told(lambda: _answers(client))
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("ready").status_code == 200
    except httpx.TransportError:
        return False


class TestPages:
    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost", STRANGER])
    def test_of_another_origin_get_nothing_done(
        self, serving: Serving, page: Any, name: str
    ) -> None:
        bait = Bait(serving.client)
        with hostile_site() as port:
            page.goto(f"http://{name}:{port}/")
            outcomes = attempts(page, f"{serving.ui}/api", bait)
        assert bait.harm(outcomes) == []
        assert {outcomes[name] for name in ("json", "version", "method", "read")} == {"refused"}

    def test_under_a_name_that_leads_here_get_nothing_done(
        self, serving: Serving, page: Any
    ) -> None:
        bait = Bait(serving.client)
        outcomes = attempts(page, f"{rebound(page, serving.port)}/api", bait)
        assert bait.harm(outcomes) == []
        assert "if that is a name of this server, set FLOWERS17_ALLOWED_HOSTS" in outcomes["read"]

    def test_of_another_origin_link_to_the_ui_but_do_not_frame_it(
        self, serving: Serving, page: Any
    ) -> None:
        with hostile_site() as port:
            page.goto(f"http://{STRANGER}:{port}/")
            with page.expect_response(f"{serving.ui}/**") as framed:
                page.evaluate(
                    "(address) => document.body.append(Object.assign("
                    "document.createElement('iframe'), {src: address}))",
                    f"{serving.ui}/dashboard",
                )
            assert framed.value.status == 403
            with page.expect_response(lambda reply: reply.url.startswith(serving.ui)) as linked:
                page.evaluate("(address) => { location = address }", serving.ui)
            assert linked.value.status == 200

    def test_do_not_frame_the_ui_where_the_browser_does_not_tell_of_them(
        self, team: httpx.Client, page: Any
    ) -> None:
        """To a name over http, a browser sends no `Sec-Fetch-Site`."""
        ui = f"http://{OWN_NAME}:{team.base_url.port}/dashboard"
        with hostile_site() as port:
            page.goto(f"http://{STRANGER}:{port}/")
            with page.expect_response(ui) as framed:
                page.evaluate(
                    "(address) => document.body.append(Object.assign("
                    "document.createElement('iframe'), {src: address}))",
                    ui,
                )
            assert framed.value.status == 200
            assert framed.value.headers["x-frame-options"] == "DENY"
            refused = "chrome-error://chromewebdata/"
            assert eventually(lambda: _frames(page) == [refused]), _frames(page)


def _frames(page: Any) -> list[str]:
    page.wait_for_timeout(50)  # lets Playwright hear of what happened
    return [frame.url for frame in page.frames[1:]]


def _asked(port: int, method: str, path: str, body: Any = None, **headers: str) -> list[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
    content = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json", **headers}
    with suppress(ConnectionError):  # the server may have answered and hung up already
        connection.request(method, path, content, headers)
    reply = connection.getresponse()
    return [reply.status, reply.read().decode(errors="replace")]


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    "Sec-WebSocket-Protocol": "prefect",
}


def _forged(port: int) -> list[dict[str, str]]:
    """Return headers that somebody may forge who is no browser."""
    return [
        {},
        {"Origin": f"http://127.0.0.1:{port}", "Host": f"127.0.0.1:{port}"},
        {"Host": "localhost", "X-PREFECT-API-VERSION": "0.8.4"},
        {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
        {"X-Forwarded-For": "192.0.2.7:4200, 127.0.0.1"},
        {"Forwarded": "for=192.0.2.7", "X-Real-IP": "192.0.2.7"},
    ]


@needs_root
class TestAnotherUser:
    def test_reads_and_plants_nothing(self, serving: Serving) -> None:
        bait, port = Bait(serving.client), serving.port
        deployment = f"/api/deployments/{bait.deployment}"

        def attempt() -> list[Any]:
            return [
                answer
                for headers in _forged(port)
                for answer in (
                    _asked(port, "GET", "/", **headers),
                    _asked(port, "GET", deployment, **headers),
                    _asked(port, "GET", "/api/logs/out", **headers, **UPGRADE),
                    _asked(port, "POST", "/api/variables/", {"name": "x", "value": 1}, **headers),
                    _asked(
                        port,
                        "POST",
                        f"{deployment}/pause_deployment",
                        **headers,
                    ),
                    _asked(port, "DELETE", f"/api/variables/name/{bait.name}", **headers),
                )
            ]

        answers = as_stranger(attempt)
        assert {status for status, _ in answers} == {403}
        assert bait.harm({"answers": answers}) == []
        assert f"got one of user {STRANGER_ID}" in answers[0][1]

    def test_plants_nothing_by_a_connection_that_it_leaves_at_once(self, serving: Serving) -> None:
        """The kernel shows what was closed as root's, who is let in."""
        bait, port = Bait(serving.client), serving.port

        def attempt() -> None:
            body = json.dumps({"name": "left", "value": 1})
            head = f"POST /api/variables/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            for reset in (False, True):
                for _ in range(20):
                    with socket.create_connection(("127.0.0.1", port)) as connection:
                        if reset:
                            linger = struct.pack("ii", 1, 0)
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        connection.sendall((head + body).encode())

        as_stranger(attempt)
        serving.client.post("variables/", json={"name": "own", "value": 1}).raise_for_status()
        serving.client.delete("variables/name/own").raise_for_status()
        assert bait.harm({}) == []

    def test_with_the_password_is_served(self, team: httpx.Client) -> None:
        token = base64.b64encode(PASSWORD.encode()).decode()
        port, path = team.base_url.port, "/api/work_pools/absent"
        credentials = {"Authorization": f"Basic {token}"}
        assert as_stranger(lambda: _asked(port, "GET", path, **credentials))[0] == 404
        assert as_stranger(lambda: _asked(port, "GET", path))[0] == 401


class TestOwner:
    """A person's own programs need no new step."""

    @pytest.mark.parametrize("password", [False, True], ids=["", "password and CSRF"])
    def test_reads_writes_and_streams_with_the_clients_of_prefect(
        self, serving: Serving, request: pytest.FixtureRequest, tmp_path: Path, password: bool
    ) -> None:
        env = {"PREFECT_API_URL": f"{serving.ui}/api", "PREFECT_HOME": str(tmp_path)}
        if password:
            address = str(request.getfixturevalue("team").base_url).rstrip("/")
            env |= {"PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": PASSWORD}
            env |= {"PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true"}
        *printed, event, logs = output_of(CLIENTS, env=env).splitlines()
        assert (event, logs) == ("flowers17.test", "logs")
        assert "'own'" in "".join(printed)

    def test_of_a_team_comes_under_its_name_through_a_proxy(self, team: httpx.Client) -> None:
        token = team.get("csrf-token", params={"client": "test"}).raise_for_status().json()["token"]
        csrf = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        named = {"Host": OWN_NAME, "Origin": f"https://{OWN_NAME}", **csrf}
        for headers, status in (
            (named, 200),
            ({**named, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}, 200),
            ({**named, "Origin": f"http://{OWN_NAME}", "X-Forwarded-Proto": "https"}, 403),
            ({**named, "Origin": "https://hostile.example"}, 403),
            ({**named, "Host": "hostile.example"}, 403),
        ):
            reply = team.post("flows/filter", json={}, headers=headers)
            assert reply.status_code == status, reply.text


def test_no_page_of_another_origin_is_told_that_it_may(serving: Serving) -> None:
    for origin in (serving.ui, "http://hostile.example", "null"):
        reply = serving.client.options("flows/filter", headers={"Origin": origin})
        assert "access-control-allow-origin" not in reply.headers
