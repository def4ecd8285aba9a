"""Another user of this machine: a process of another user id. Only root can start one."""

import json
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any

import pytest

STRANGER_ID = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")


def as_stranger(action: Callable[[], Any]) -> Any:
    """The result of a function, through JSON, when another user calls it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(STRANGER_ID)
            os.setuid(STRANGER_ID)
            try:
                outcome = [action(), None]
            except BaseException as problem:
                outcome = [None, repr(problem)]
            os.write(writing, json.dumps(outcome).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        outcome = json.loads(stream.read())
    os.waitpid(child, 0)
    returned, problem = outcome
    assert problem is None, problem
    return returned


class Squatter:
    """Another user who has bound a port of 127.0.0.1, and waits for a good time to listen there."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._ours, theirs = socket.socketpair()
        self._child = os.fork()
        if self._child == 0:
            try:
                self._ours.close()
                self._squat(theirs)
            finally:
                os._exit(0)
        theirs.close()
        assert self._ours.recv(1) == b"1"

    def _squat(self, commands: socket.socket) -> None:
        os.setgroups([])
        os.setgid(STRANGER_ID)
        os.setuid(STRANGER_ID)
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", self.port))
        commands.send(b"1")
        while commands.recv(1):
            try:
                bound.listen()
                commands.send(b"1")
            except OSError:
                commands.send(b"0")

    def takes_over(self) -> bool:
        """Let him try to listen; return whether he does."""
        self._ours.send(b"?")
        return self._ours.recv(1) == b"1"

    def close(self) -> None:
        """End him."""
        self._ours.close()
        os.waitpid(self._child, 0)


def squatting(port: int) -> AbstractContextManager[Squatter]:
    """Return another user who has bound a port."""
    return closing(Squatter(port))
