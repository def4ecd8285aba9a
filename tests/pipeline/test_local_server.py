"""The private server: what it asks of clients that it could not serve at once."""

import asyncio
from typing import Any

import pytest

from flows.local_server import RETRY_AFTER_S, Application, soon_tried_again


def answering(status: int) -> Application:
    """Return an ASGI application that answers everything with one status."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"text"})

    return application


def answer(application: Application) -> list[dict[str, Any]]:
    """Return the messages of its answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application({"type": "http"}, None, send))
    return sent


def test_a_busy_database_asks_to_be_tried_again_soon() -> None:
    start, body = answer(soon_tried_again(answering(503)))
    assert start["headers"] == [(b"a", b"b"), (b"retry-after", f"{RETRY_AFTER_S:g}".encode())]
    assert body["body"] == b"text"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_other_answers_are_left_as_they_are(status: int) -> None:
    assert answer(soon_tried_again(answering(status))) == answer(answering(status))
