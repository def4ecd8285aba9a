"""Another user of this machine: a process of another user id. Only root can start one."""

import json
import os
from collections.abc import Callable
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
