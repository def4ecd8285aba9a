"""The overhead of a stage: on SQLite as in `serve`, on PostgreSQL as for a team.

A flow of stages that add two numbers, run by our engine (key, lock, artifact on disk, lineage shown
in the UI, progress), and a flow of as many bare Prefect tasks, each against both servers in turn.
Each measurement is a process of its own. The store is empty at first; for `cached` it is full.
Needs PostgreSQL's programs (Debian: apt-get install postgresql).
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
from measuring import Timer, measured, options_of

from tests.support.serving import Serving
from tests.support.team import Team, postgres_programs


def engine_stages(timer: Timer, env: dict[str, str], n_stages: int, store: Path) -> str:
    """Run the stages by our engine, twice: they are built, then found in the store."""
    os.environ.update(env)
    from tests.support.toy import number
    from tests.support.toy_flow import run

    stages = [number(f"stage-{index}", index) for index in range(n_stages)]
    for stage in stages:
        stage.code()  # read once a process, whatever the number of stages
    with timer.step("built"):
        first = run(stages, store).results
    with timer.step("cached"):
        second = run(stages, store).results
    return f"{len(first)} results, {'the same' if first == second else 'other ones'} again"


def bare(timer: Timer, env: dict[str, str], n_stages: int, store: Path) -> str:
    """Run as many Prefect tasks that do nothing, submitted as our engine submits stages."""
    os.environ.update(env)
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    @task(cache_policy=NO_CACHE, persist_result=False)
    def nothing(number: int) -> int:
        return number

    pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=1)

    @flow(task_runner=pool)
    def tasks() -> int:
        return sum(future.result() for future in [nothing.submit(n) for n in range(n_stages)])

    with timer.step("bare"):
        total = tasks()
    return str(total)


def started(folder: Path, stack: ExitStack) -> dict[str, dict[str, str]]:
    """Serve on SQLite and on PostgreSQL until the end; return the environments of their clients."""
    programs = postgres_programs()
    if programs is None:
        sys.exit("expected PostgreSQL's programs, found none (Debian: apt-get install postgresql)")
    alone, team = Serving(folder / "sqlite"), Team(folder / "postgresql", programs)
    stack.callback(alone.close)
    alone.start()
    stack.callback(team.database.close)
    team.database.create()
    stack.callback(Serving.close, team)  # its workers are not started
    team.start_server()
    clients = {"SQLite": (alone, {}), "PostgreSQL": (team, {"PREFECT_API_AUTH_STRING": team.auth})}
    return {
        name: {
            "PREFECT_API_URL": f"{server.ui}/api",
            "PREFECT_HOME": str(server.home),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
            **password,
        }
        for name, (server, password) in clients.items()
    }


def main() -> None:
    """Measure each way on both servers in turn, and print milliseconds a stage."""
    stages = {"default": 500, "help": "stages of a flow"}
    options = options_of(__doc__, "repeats", stages=stages)
    rows = []
    with tempfile.TemporaryDirectory(prefix="flowers17-server-") as name, ExitStack() as stack:
        folder = Path(name)
        servers = started(folder, stack)
        for repeat in range(options.repeats):
            for way in (engine_stages, bare):
                for server, env in servers.items():
                    store = folder / f"{server}-{way.__name__}-{repeat}"
                    measurement = measured(way, env, options.stages, store)
                    print(f"{server}: {measurement.value}", flush=True)
                    for step, seconds in measurement.seconds.items():
                        rows.append((step, server, 1000 * seconds / options.stages))
    table = pd.DataFrame(rows, columns=["milliseconds a stage", "server", "median"])
    print(table.pivot_table("median", "milliseconds a stage", "server", "median").round(1))


if __name__ == "__main__":
    main()
