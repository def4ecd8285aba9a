"""The overhead of a stage: on SQLite as in `serve`, on PostgreSQL as for a team.

A flow of stages that add two numbers, run by our engine (key, lock, artifact on disk, lineage shown
in the UI, progress), and a flow of as many bare Prefect tasks, each against both servers in turn.
Each measurement is a process of its own. The store is empty at first; for `cached` it is full.

    python benchmarks/server.py --stages 500 --repeats 2

Needs PostgreSQL's programs (Debian: apt-get install postgresql).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from measuring import ROOT, Timer, measured, median, options_of

from tests.support.processes import free_port
from tests.support.team import Postgres, postgres_programs, shipped_command, shipped_settings


def engine_stages(timer: Timer, env: dict[str, str], n_stages: int, store: Path) -> str:
    """Run the stages by our engine, twice: they are built, then found in the store."""
    os.environ.update(env)
    from tests.support.toy import number
    from tests.support.toy_flow import run

    stages = [number(f"stage-{index}", index) for index in range(n_stages)]
    for stage in stages:
        stage.code()  # read once a process, whatever the number of stages
    with timer.step("built"), _told_apart(timer):
        first = run(stages, store).results
    with timer.step("cached"):
        second = run(stages, store).results
    return f"{len(first)} results, {'the same' if first == second else 'other ones'} again"


@contextmanager
def _told_apart(timer: Timer) -> Iterator[None]:
    """Time what the engine does beside Prefect: the store, and the lineage that it shows."""
    from tasks import engine

    before = {"ensure": engine.ensure, "publish_lineage": engine.publish_lineage}
    for name, function in before.items():

        def timed(
            *arguments: Any, _name: str = name, _function: Any = function, **options: Any
        ) -> Any:
            with timer.step(f"built, of it {_name}"):
                return _function(*arguments, **options)

        setattr(engine, name, timed)
    yield
    for name, function in before.items():
        setattr(engine, name, function)


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


@contextmanager
def sqlite(folder: Path) -> Iterator[dict[str, str]]:
    """Serve on SQLite as `flowers17 serve` does; yield the environment of its clients."""
    settings = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    port = free_port()
    command = [sys.executable, "-m", "flows.server", "--host", "127.0.0.1", "--port", str(port)]
    env = _client(folder, port)
    with _served(command, settings, env):
        yield env


@contextmanager
def postgresql(folder: Path) -> Iterator[dict[str, str]]:
    """Serve on PostgreSQL as deployments/systemd does; yield the environment of its clients."""
    programs = postgres_programs()
    if programs is None:
        sys.exit("expected PostgreSQL's programs, found none (Debian: apt-get install postgresql)")
    settings, port = shipped_settings("server"), free_port()
    database = Postgres(programs, settings)
    try:
        database.create()
        settings |= {
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_DATABASE_PORT": str(database.port),
        }
        auth = settings["PREFECT_SERVER_API_AUTH_STRING"]
        env = {**_client(folder, port), "PREFECT_API_AUTH_STRING": auth}
        with _served(shipped_command("server"), settings, env):
            yield env
    finally:
        database.close()


def _client(folder: Path, port: int) -> dict[str, str]:
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(folder),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }


@contextmanager
def _served(command: list[str], settings: dict[str, str], env: dict[str, str]) -> Iterator[None]:
    """Run a server and wait until it and its database answer."""
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, **quiet) as process:
        try:
            deadline = time.monotonic() + 180
            while not _ready(env["PREFECT_API_URL"]):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"expected a server within 180 s, {command} gave none")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def _ready(api: str) -> bool:
    try:
        return httpx.get(f"{api}/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    """Measure each way on both servers in turn, and print milliseconds a stage."""
    stages = {"default": 500, "help": "stages of a flow"}
    options = options_of(__doc__, "repeats", stages=stages)
    milliseconds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="flowers17-server-") as name, ExitStack() as stack:
        folder = Path(name)
        servers = {
            "SQLite": stack.enter_context(sqlite(folder / "sqlite")),
            "PostgreSQL": stack.enter_context(postgresql(folder / "postgresql")),
        }
        for repeat in range(options.repeats):
            for way in (engine_stages, bare):
                for server, env in servers.items():
                    store = folder / f"{server}-{way.__name__}-{repeat}"
                    measurement = measured(way, env, options.stages, store)
                    for step, seconds in measurement.seconds.items():
                        each = 1000 * seconds / options.stages
                        milliseconds.setdefault((server, step), []).append(each)
                        text = f"{server}, {step}: {each:.1f} ms a stage ({measurement.value})"
                        print(text, flush=True)
    print("\nmedians, ms a stage")
    for (server, step), values in milliseconds.items():
        print(f"| {server} | {step} | {median(values):.1f} |")


if __name__ == "__main__":
    main()
