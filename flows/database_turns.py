"""Transactions of Prefect's server on SQLite, one after the other.

Prefect reads, then writes, in one transaction. If another write comes between, SQLite refuses at
once, whatever its time-out (it could only wait for ever), and Prefect answers "503". Its own
clients try again after seconds, but not the UI in a browser, nor scripts. So each transaction locks
the database as it begins, in the order in which they come.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any


def take_turns() -> None:
    """Let the transactions of the server in this process wait for each other from now on.

    One that begins within another one goes on with it, as Prefect has it.
    """
    from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration

    prefects, turn = AioSqliteConfiguration.begin_transaction, asyncio.Lock()

    @asynccontextmanager
    async def begin_transaction(
        self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
    ) -> AsyncIterator[Any]:
        is_first = SQLITE_BEGIN_MODE.get() is None
        locks = with_for_update or is_first
        async with (
            turn if is_first else nullcontext(),
            prefects(self, session, locks) as transaction,
        ):
            yield transaction

    AioSqliteConfiguration.begin_transaction = begin_transaction  # type: ignore[method-assign]
