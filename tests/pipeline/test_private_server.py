"""The private server of `run` beside other users of the machine, who reach its port as well."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    temporary_settings,
)
from prefect.states import Running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flowers17.errors import Flowers17Error
from flowers17.request import StudyRequest
from flows import dataset
from flows.local_server import Server
from tasks.leftovers import at_work
from tasks.liveness import is_recorded, run_digest
from tests.support.commands import called
from tests.support.killed_studies import overridden
from tests.support.processes import HANG_S, NOBODY, eventually, kill, needs_root, output_of, python
from tests.support.serving import COMMAND, SMALL
from tests.support.tiny_backbone import BACKBONE

pytestmark = pytest.mark.server

TABLE = f"features.table=[{{extractor: '{BACKBONE}'}}]"
TEAM = {
    PREFECT_API_AUTH_STRING: "team:their-password",
    PREFECT_API_KEY: "their-key",
    PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Team": "their-header"},
}
# What another user tries; everything is imported before, since libraries may lie where only root
# can read them.
INTRUDER = """
import json, os, socket, sys
import encodings.idna, http.client
port, process, home, nobody = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
if nobody:
    os.setgroups([]); os.setgid(nobody); os.setuid(nobody)

def status(method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
    try:
        connection.request(method, path, json.dumps(body), headers)
    except ConnectionError:
        pass  # the server has answered and hung up already
    reply = connection.getresponse()
    return reply.status

def attempt(action):
    try:
        return repr(action())
    except OSError as problem:
        return type(problem).__name__

outcomes = {
    "read": status("POST", "/api/flow_runs/filter", {}),
    "read with a guess": status("POST", "/api/flow_runs/filter", {}, Authorization="Basic Og=="),
    "plant": status("POST", "/api/flows/", {"name": "features"}),
    "version": status("GET", "/api/admin/version"),
    "command line": open(f"/proc/{process}/cmdline").read(),
    "environment": attempt(lambda: open(f"/proc/{process}/environ").read()),
    "home": attempt(lambda: os.listdir(home)),
    "database": attempt(lambda: open(f"{home}/prefect.db", "rb").read()),
    "record": attempt(lambda: os.mkdir(f"{home}/flowers17-runs")),
}
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
outcomes["port"] = attempt(lambda: (listener.bind(("127.0.0.1", port)), listener.listen()))
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def home() -> Path:
    """The Prefect home of the servers."""
    return Path(os.environ["PREFECT_HOME"])


@pytest.fixture(scope="module")
def server(prefect_server: Server) -> Iterator[Server]:
    """The private server that all tests share; the person has credentials for a team's."""
    with pytest.MonkeyPatch.context() as patch, temporary_settings(TEAM):
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.delenv("PREFECT_API_AUTH_STRING", raising=False)
        with prefect_server.connected():
            yield prefect_server


def _intruder(server: Server, home: Path, user: int) -> dict[str, Any]:
    port = httpx.URL(server.api).port
    assert server._process is not None
    words = (str(port), str(server._process.pid), str(home), str(user))
    return json.loads(output_of(INTRUDER, *words))


class TestIntruder:
    @pytest.mark.parametrize("user", [0, pytest.param(NOBODY, marks=needs_root)])
    def test_without_the_password_reads_and_plants_nothing(
        self, server: Server, home: Path, user: int
    ) -> None:
        with get_client(sync_client=True) as client:
            before = client._client.post("/flows/count", json={}).json()
        outcomes = _intruder(server, home, user)
        requests = ("read", "read with a guess", "plant", "version")
        assert {outcomes[name] for name in requests} <= {401, 403}
        assert outcomes["port"] == "OSError"  # in use
        with get_client(sync_client=True) as client:
            assert client._client.post("/flows/count", json={}).json() == before

    @needs_root
    def test_who_is_another_user_reads_no_file_nor_the_password(
        self, server: Server, home: Path
    ) -> None:
        outcomes = _intruder(server, home, NOBODY)
        closed = ("environment", "home", "database", "record")
        assert {name: outcomes[name] for name in closed} == dict.fromkeys(closed, "PermissionError")
        assert str(httpx.URL(server.api).port) not in outcomes["command line"]
        assert str(server.password) not in outcomes["command line"]

    @pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
    def test_gets_no_stream(self, server: Server, path: str) -> None:
        address = f"{server.api.replace('http', 'ws', 1)}/{path}"
        with connect(address, subprotocols=[Subprotocol("prefect")], proxy=None) as stream:
            stream.send(json.dumps({"type": "auth", "token": "guess"}))
            with pytest.raises(ConnectionClosed, match="Invalid token"):
                stream.recv(timeout=10)

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:4200"])
    def test_that_is_a_page_is_told_that_it_may_not_ask(self, server: Server, origin: str) -> None:
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        reply = httpx.options(f"{server.api}/flows/", headers=asks, trust_env=False, timeout=HANG_S)
        assert "access-control-allow-origin" not in reply.headers


class TestCredentials:
    def test_of_a_team_are_not_sent_to_it(self, server: Server) -> None:
        with get_client(sync_client=True) as client:
            sent = str(client._client.headers.raw)
        assert "x-team" not in sent.lower()
        assert sent.count("Basic ") == 1
        assert "their" not in sent
        assert client._client.headers["Authorization"] == _basic(str(server.password))

    def test_of_its_own_are_sent_to_no_other(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Server() as other:
            assert other._process is not None
            other._process.kill()  # before it imports anything
            assert other.password != server.password
        monkeypatch.setenv("PREFECT_API_URL", server.api)  # as if it were another one
        refused = pytest.raises(Flowers17Error, match="got other ones; set PREFECT_API_AUTH_STRING")
        with temporary_settings(TEAM), refused, Server().connected():
            pass


def _basic(pair: str) -> str:
    return httpx.BasicAuth(*pair.split(":", 1))._auth_header


class TestRecord:
    def test_of_a_run_is_what_its_server_holds_of_it(self, server: Server, tmp_path: Path) -> None:
        """So that `recover` finds the runs of a person's own programs, too."""
        request = StudyRequest(store=tmp_path / "store", profile="demo")
        records: list[bool] = []

        @flow(name="a person's own")
        def own(request: StudyRequest, n: int = 3, path: Path = Path("x")) -> str:
            with at_work(request.options), get_client(sync_client=True) as client:
                run = client.read_flow_run(UUID(flow_run.get_id()))
                digest = run_digest("a person's own", run.parameters)
                records.append(is_recorded(digest))
            return digest

        digest = own(request)
        assert records == [True]
        assert not is_recorded(digest)

    def test_is_needed_to_be_run_again_here(
        self, server: Server, home: Path, tmp_path: Path
    ) -> None:
        planted, own = _planted_run(tmp_path / "planted"), tmp_path / "own"
        earlier = set((home / "flowers17-runs").iterdir())
        settings = [
            word for assignment in overridden(SMALL, TABLE) for word in ("--set", assignment)
        ]
        words = ("run", "features", "--store", str(own), *settings)
        env = {"PREFECT_API_URL": server.api, "PREFECT_API_AUTH_STRING": str(server.password)}
        with python(*COMMAND[1:], *words, env=env) as process:
            assert eventually(lambda: list(own.glob("images/*/manifest.json")))
            kill(process.pid)

        code, printed, _ = called("recover", "--json", "--store", str(planted), api=server.api)
        (forged,) = json.loads(printed)
        assert (code, forged["now"], forged["resumed"]) == (1, "Crashed", None)
        assert "you have not begun it on this machine" in forged["problem"]
        assert not list(planted.glob("*/*/manifest.json"))

        code, printed, shown = called("recover", "--json", "--store", str(own), api=server.api)
        (recovered,) = json.loads(printed)
        assert (code, recovered["flow"], recovered["now"]) == (0, "features", "Crashed")
        assert recovered["resumed"] == "here"
        assert "● cached images@32" in shown
        assert len(list(own.glob("study/*/manifest.json"))) == 1
        assert set((home / "flowers17-runs").iterdir()) == earlier
        assert list(tmp_path.glob("*/.runs/*")) == []
        nothing = called("recover", "--store", str(own), api=server.api)
        assert nothing[:2] == (0, "no dead runs\n")


def _planted_run(store: Path) -> Path:
    """Put a run on the server that looks as if it had been killed; return its store."""
    small = ["dataset.n_classes=3", "dataset.images_per_class=8", "dataset.image_size=32"]
    request = StudyRequest(store=store, set=[*small, "splits.n_repeats=0"])
    parameters = {"request": json.loads(request.model_dump_json())}
    with get_client(sync_client=True) as client:
        state = Running(timestamp=datetime(2026, 1, 1, tzinfo=UTC))
        run = client.create_flow_run(dataset.dataset, parameters=parameters, state=state)
    (store / ".runs").mkdir(parents=True)
    (store / ".runs" / str(run.id)).touch()
    return store
