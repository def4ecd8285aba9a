"""What a server patient with its database does with answers of each kind."""

import asyncio
import gc
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine

from flows import database_retry
from flows.database_retry import BUSY, RETRY_AFTER_S, Application, retrying

DONE = 200


def answering(*statuses: int, heard: list[bytes] | None = None) -> Application:
    """An ASGI application with one answer after another; it raises what led to an error."""
    remaining = list(statuses)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        status = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        if heard is not None:
            heard.append(body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"text"})
        if status >= 500:
            raise sqlite3.OperationalError("database is locked")

    return application


def answer(application: Application, *parts: bytes, method: str = "POST") -> list[dict[str, Any]]:
    """The messages of an answer to a request whose body comes in parts."""
    sent: list[dict[str, Any]] = []
    remaining = list(parts or (b"",))

    async def receive() -> dict[str, Any]:
        body = remaining.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(remaining)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application({"type": "http", "method": method}, receive, send))
    return sent


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_was_refused_is_asked_again_with_the_whole_body(method: str) -> None:
    heard: list[bytes] = []
    start, _ = answer(
        retrying(answering(BUSY, BUSY, DONE, heard=heard)), b"one ", b"body", method=method
    )
    assert start["status"] == DONE
    assert heard == [b"one body"] * 3


def test_at_the_end_of_patience_the_client_is_asked_to_try_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_retry, "RETRY_TIMEOUT_S", 0.05)
    start, body = answer(retrying(answering(BUSY)))
    assert start["status"] == BUSY
    assert start["headers"] == [(b"a", b"b"), (b"retry-after", f"{RETRY_AFTER_S:g}".encode())]
    assert body["body"] == b"text"


@pytest.mark.parametrize("status", [200, 404, 409])
def test_other_answers_are_left_as_they_are(status: int) -> None:
    assert answer(retrying(answering(status, DONE))) == answer(answering(status))


def test_other_errors_are_raised_and_not_tried_again() -> None:
    heard: list[bytes] = []
    with pytest.raises(sqlite3.OperationalError):
        answer(retrying(answering(500, DONE, heard=heard)))
    assert heard == [b""]


def test_new_writes_queue_behind_one_that_was_refused() -> None:
    order: list[str] = []

    async def busy_at_first(scope: Any, receive: Any, send: Any) -> None:
        order.append(scope["path"])
        refused = order.count("first") < 3 and scope["path"] == "first"
        await send({"type": "http.response.start", "status": BUSY if refused else DONE})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(*_: Any) -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def requests() -> None:
        application = retrying(busy_at_first)
        scopes = [{"type": "http", "method": "POST", "path": path} for path in ("first", "second")]
        first = asyncio.create_task(application(scopes[0], nothing, nothing))
        await asyncio.sleep(0)
        await asyncio.gather(first, application(scopes[1], nothing, nothing))

    asyncio.run(requests())
    assert order == ["first"] * 3 + ["second"]


@pytest.fixture
def garbage_left() -> Iterator[None]:
    """Have garbage collected only where the test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("garbage_left")
def test_what_a_refused_write_leaves_does_not_hold_up_the_server(tmp_path: Path) -> None:
    """While its connection waits for another's transaction, which the server has yet to end."""
    retrying(answering(DONE))

    async def collected() -> float:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/database", isolation_level="AUTOCOMMIT"
        )
        async with engine.connect() as writer, engine.connect() as reader:
            for statement in ("PRAGMA journal_mode = WAL", "CREATE TABLE runs (id)"):
                await writer.exec_driver_sql(statement)
            await reader.exec_driver_sql("PRAGMA busy_timeout = 10000")
            for statement in ("BEGIN", "SELECT * FROM runs"):
                await reader.exec_driver_sql(statement)
            await writer.exec_driver_sql("INSERT INTO runs VALUES (1)")
            with pytest.raises(exc.OperationalError, match="database is locked"):
                await reader.exec_driver_sql("INSERT INTO runs VALUES (2)")
            await reader.exec_driver_sql("ROLLBACK")

            await writer.exec_driver_sql("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(reader.exec_driver_sql("BEGIN IMMEDIATE"))
            await asyncio.sleep(0.5)
            began = time.monotonic()
            gc.collect()
            took_s = time.monotonic() - began
            await writer.exec_driver_sql("COMMIT")
            await waiting
            await reader.exec_driver_sql("COMMIT")
        await engine.dispose()
        return took_s

    assert asyncio.run(collected()) < 5
