"""Toy flows in processes that may be killed, forked from one that has imported Prefect for all.

Run as a program with calls as JSON: lists of a function's name and its arguments.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import eventually, python


def sum_of_slow_numbers(store: str, calls: str) -> None:
    """Add numbers up, some in processes of their own; print the tasks' states and the digest."""
    from tests.support.toy import number
    from tests.support.toy_flow import run

    slow: dict[str, Any] = {"config": {"seconds": 0.5}, "resources": {"calls": calls}}
    terms = [number(f"n{value}", value, isolated=value % 2 == 0, **slow) for value in range(4)]
    total = number("sum", 100, *terms, resources={"calls": calls})
    ended = run([total], Path(store))
    result: Any = ended.results["sum"]
    print(sorted(map(str, set(ended.names.values()))), result.digest, flush=True)


def endless(store: str, calls: str, name: str, isolated: bool) -> None:
    """Run a stage without an end, and one after it."""
    from tests.support.toy import number
    from tests.support.toy_flow import run

    slow = number(name, 1, isolated=isolated, config={"seconds": 600}, resources={"calls": calls})
    run([number("after it", 2, slow), slow], Path(store))


def endless_on_ray(store: str, calls: str, address: str) -> None:
    """Run a stage without an end on a cluster, as `flowers17 run` does."""
    from flowers17.interrupts import interrupt_guard
    from tests.support.toy import number
    from tests.support.toy_flow import run

    stage = number("a", 4, config={"seconds": 600}, resources={"calls": calls}, isolated=True)
    with interrupt_guard():
        run([stage], Path(store), runner="ray", ray_address=address)


@contextmanager
def forked(
    *calls: tuple[str | bool, ...], env: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Processes of these calls, each the leader of a group, and the one that they are forked from.

    That one ends after them.
    """
    with python("-m", "tests.support.toy_processes", json.dumps(calls), env=dict(env)) as parent:
        assert parent.stdout is not None
        yield parent, json.loads(parent.stdout.readline())


def is_gone(pid: int) -> bool:
    """Whether a process ends; its parent must bury it."""
    return eventually(lambda: not Path(f"/proc/{pid}").exists())


def main(calls: list[list[Any]]) -> None:
    """Fork a process for each call, print their ids, and wait for them."""
    import tests.support.toy_flow  # noqa: F401

    if any(call[0] == endless_on_ray.__name__ for call in calls):
        import ray  # noqa: F401
    pids = []
    for name, *arguments in calls:
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            return globals()[name](*arguments)
        os.setpgid(pid, pid)  # whoever of both is first
        pids.append(pid)
    print(json.dumps(pids), flush=True)
    for pid in pids:
        os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
