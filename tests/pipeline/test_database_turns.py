"""A server on SQLite answers all who write at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.processes import HANG_S

N_CLIENTS, N_RUNS = 8, 5

pytestmark = pytest.mark.server


@pytest.fixture
def client(prefect_api: str) -> Iterator[httpx.Client]:
    """A client that does not try again, as the UI in a browser."""
    from prefect.settings import PREFECT_API_AUTH_STRING

    user, _, password = (PREFECT_API_AUTH_STRING.value() or "").partition(":")
    with httpx.Client(base_url=prefect_api, auth=(user, password), timeout=HANG_S) as client:
        yield client


def _statuses(client: httpx.Client, flow_id: str, number: int) -> list[int]:
    """Answers to one client's requests, whose transactions read before they write."""
    replies = []
    for run in range(N_RUNS):
        reply = client.post("flow_runs/", json={"flow_id": flow_id, "state": {"type": "PENDING"}})
        address = f"flow_runs/{reply.json()['id']}"
        state = {"state": {"type": "RUNNING"}, "force": True}
        name = {"name": f"turns_{number}_{run}", "value": 1}
        replies += [
            reply,
            client.post(f"{address}/set_state", json=state),
            client.patch(address, json={"tags": ["busy"]}),
            client.post("variables/", json=name),
            client.post("variables/", json=name),
        ]
    return [reply.status_code for reply in replies]


def test_whoever_writes_beside_others_is_answered(client: httpx.Client) -> None:
    flow_id = client.post("flows/", json={"name": "turns"}).json()["id"]
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        numbers = range(N_CLIENTS)
        answers = list(pool.map(lambda number: _statuses(client, flow_id, number), numbers))
    assert answers == [[201, 201, 204, 201, 409] * N_RUNS] * N_CLIENTS
