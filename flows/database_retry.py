"""Retry of requests that Prefect's server refused because its SQLite database was busy.

Prefect reads, then writes, in one transaction. If another write comes between, SQLite refuses at
once, whatever its time-out (it could only wait for ever); Prefect undoes the transaction and
answers "503". Its own clients try again after seconds, but not the UI in a browser, nor scripts.

The cursor of what was refused is closed at once. Else it stays open until Python collects garbage,
wherever the server is then, and its end waits for its connection: if that waits in turn for a
transaction that the server has yet to end, all stand still for a minute.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

Application = Callable[..., Awaitable[None]]  # ASGI: of scope, receive and send
Message = MutableMapping[str, Any]

BUSY = 503
RETRY_TIMEOUT_S = 10.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.32
RETRY_AFTER_S = 0.1


def retrying(application: Application) -> Application:
    """ASGI application that passes a request to another one again while that answers 503.

    Refused requests are retried one after the other; meanwhile new requests that may write queue
    behind them. After RETRY_TIMEOUT_S the 503 is passed on, with the header Retry-After.
    """
    from sqlalchemy import Engine, event

    event.listen(Engine, "handle_error", _close_cursor)
    turn = asyncio.Lock()

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        ask = partial(_answered, application, scope, await _messages_of(receive), receive, send)
        deadline = time.monotonic() + RETRY_TIMEOUT_S
        if (scope["method"] == "GET" or not turn.locked()) and not await ask():
            return
        async with turn:
            pause = SHORTEST_PAUSE_S
            while (refusal := await ask()) and time.monotonic() < deadline:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        for message in refusal:
            await send(message)

    return answering


async def _answered(
    application: Application, scope: Any, request: list[Message], receive: Any, send: Any
) -> list[Message]:
    """Pass a request on once. Returns the messages of a 503, which are held back, else none."""
    unread, refusal = list(request), list[Message]()

    async def receiving() -> Message:
        return unread.pop(0) if unread else await receive()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == BUSY:
            headers = [*message.get("headers", ()), (b"retry-after", b"%g" % RETRY_AFTER_S)]
            refusal.append({**message, "headers": headers})
        elif refusal:
            refusal.append(message)
        else:
            await send(message)

    try:
        await application(dict(scope), receiving, sending)
    except Exception:
        if not refusal:  # else it is what the 503 is about, raised once more
            raise
    return refusal


def _close_cursor(context: Any) -> None:
    """Close the cursor of a statement that failed, which SQLAlchemy's adapter leaves open."""
    for frame, _ in traceback.walk_tb(context.original_exception.__traceback__):
        if (cursor := frame.f_locals.get("_cursor")) is not None:
            with suppress(ValueError):  # its connection is closed, and it with that
                frame.f_locals["self"].await_(cursor.close())


async def _messages_of(receive: Any) -> list[Message]:
    """Messages of a request up to the end of its body, or of the connection."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages
