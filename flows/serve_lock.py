"""Where a running `flowers17 serve` is found, and the names that its parts share.

Its lock is the kernel's, held for as long as it lives. Without it a second command would open the
same database through a server of its own.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from flowers17.errors import Flowers17Error, InvalidInput
from flows.access import ACCEPTED_AT_ONCE
from tasks.own_files import own_file, own_prefect_home, prefect_home

CHECKOUT = Path(__file__).resolve().parent.parent
POOL = "flowers17"


def _lock_path() -> Path:
    return prefect_home() / "flowers17-serve.json"


def served_api() -> str | None:
    """API of the `serve` that runs on this Prefect home, if there is one.

    Raises Flowers17Error if somebody else announced it: credentials are sent to what it names.
    """
    try:
        stream = os.fdopen(own_file(_lock_path(), os.O_RDONLY))
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
    with os.fdopen(own_file(_lock_path(), os.O_RDWR | os.O_CREAT), "r+") as stream:
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
