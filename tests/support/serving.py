"""A real `flowers17 serve` on a free port with a Prefect home of its own, and its API."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from flows.reaper import MARK
from tests.support.homes import migrated_home
from tests.support.processes import HANG_S, environment, eventually, free_port

LOOK_S = 0.5  # from one look at what a server tells to the next; each takes it 10 to 20 ms
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SMALL = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "learners.plain=[]",
    "learners.augmented=[]",
    "learners.best=[]",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[]",
    "defences.networks=[]",
    "poisoning.networks=[]",
    "next_steps.questions=[]",
    "attacks.models=[]",
    "features.table=[{extractor: mobilenet, pooling: average}]",
    "features.classifiers.names=[naive_bayes, knn]",
    "features.combinations=[]",
)
# Only pages on blocks need them, which no test opens; they cost a server a second.
NO_BLOCKS = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
COMMAND = [sys.executable, "-c", "from flowers17.cli import main; main()"]


def flowers17(*arguments: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(PREFECT_HOME=str(home), **variables),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def processes(home: Path) -> dict[int, str]:
    """Return the living processes that work on a Prefect home, with their command lines."""
    commands = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"PREFECT_HOME={home}".encode() in environ:
            commands[int(entry.name)] = command.strip()
    return commands


def told(condition: Callable[[], Any]) -> bool:
    """Whether a server tells at last what is expected; each look costs its processor time."""
    return eventually(condition, pause_s=LOOK_S)


class Serving:
    """Starts and stops `serve`; talks to the API behind its UI."""

    def __init__(
        self, folder: Path, *settings: str, variables: Mapping[str, str] | None = None
    ) -> None:
        self.home, self.store, self.port = folder / "home", folder / "store", free_port()
        self.home.mkdir(parents=True)
        migrated_home(self.home)
        self.settings = settings
        self.variables = {**NO_BLOCKS, **(variables or {})}
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(
            base_url=f"{self.ui}/api/",
            timeout=30,
            trust_env=False,
            follow_redirects=True,
            transport=httpx.HTTPTransport(),
        )

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> "Serving":
        """Start it and wait until its worker runs."""
        self.launch()
        return self.ready()

    def launch(self) -> None:
        """Start it."""
        options = [option for setting in self.settings for option in ("--set", setting)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port), "--store", str(self.store), *options],
                env=environment(PREFECT_HOME=str(self.home), **self.variables),
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> "Serving":
        """Wait until its worker runs."""
        eventually(lambda: "Ctrl-C" in self.log.read_text() or not self.running)
        assert "Ctrl-C" in self.log.read_text(), self.log.read_text()
        return self

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(HANG_S)

    def close(self) -> None:
        """Stop it, kill whatever of it is left, and say so."""
        self.client.close()
        if self.running:
            self.end(signal.SIGTERM)
        for process in processes(self.home):
            os.kill(process, signal.SIGKILL)

    def deployment(self, name: str) -> dict[str, Any]:
        """The server's record of a deployment."""
        return self.client.get(f"deployments/name/{name}/{name}").raise_for_status().json()

    def start_run(self, name: str, **request: Any) -> httpx.Response:
        """Start a run as the UI does: with the whole of the deployment's request."""
        deployment = self.deployment(name)
        values = {"request": {**deployment["parameters"]["request"], **request}}
        return self.client.post(
            f"deployments/{deployment['id']}/create_flow_run", json={"parameters": values}
        )

    def run(self, flow_run_id: str) -> dict[str, Any]:
        """The server's record of a run."""
        return self.client.get(f"flow_runs/{flow_run_id}").raise_for_status().json()

    def reaches(self, flow_run_id: str, *types: str, seconds: float = HANG_S) -> dict[str, Any]:
        """Return the run once its state is of one of these types; fails if it never is."""
        deadline = time.monotonic() + seconds
        while (run := self.run(flow_run_id))["state_type"] not in types:
            assert time.monotonic() < deadline, (run["state"], self.worker_log())
            time.sleep(LOOK_S)
        return run

    def scheduled_runs(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return a deployment's runs that a schedule made and that have begun, oldest first."""
        query = {
            "flow_runs": {"deployment_id": {"any_": [deployment_id]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        runs = self.client.post("flow_runs/filter", json=query).raise_for_status().json()
        return [run for run in runs if run["auto_scheduled"] and run["state_type"] != "SCHEDULED"]

    def worker_log(self) -> str:
        """The end of the log of the worker and its runs."""
        return (self.home / "flowers17-logs" / "worker.log").read_text()[-4000:]

    def messages(self, flow_run_id: str) -> list[str]:
        """Messages that a run has logged at the server."""
        query = {"logs": {"flow_run_id": {"any_": [flow_run_id]}}}
        return [log["message"] for log in self.client.post("logs/filter", json=query).json()]

    def tasks(self, flow_run_id: str) -> dict[str, list[str]]:
        """Return the names of the states of a run's tasks, by label, oldest first."""
        query = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        states: dict[str, list[str]] = {}
        for task in self.client.post("task_runs/filter", json=query).json():
            states.setdefault(task["name"], []).append(task["state_name"])
        return states

    def artifacts(self, flow_run_id: str) -> dict[str, dict[str, Any]]:
        """Return the artifacts that a run shows, by key."""
        query = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}, "limit": 200}
        return {
            artifact["key"]: artifact
            for artifact in self.client.post("artifacts/filter", json=query).json()
        }

    def processes_of(self, flow_run_id: str) -> list[int]:
        """Return the processes that work on a run, those of isolated stages included."""
        return list(_carrying(f"PREFECT__FLOW_RUN_ID={flow_run_id}"))

    def workers(self) -> list[int]:
        """Return the worker's process."""
        return [pid for pid, command in processes(self.home).items() if "worker start" in command]

    def reapers(self) -> list[int]:
        """Return the process that only waits for the end of `serve`."""
        commands = processes(self.home).items()
        return [pid for pid, command in commands if re.search(r"-m flows\.reaper \w+$", command)]

    @property
    def marked(self) -> list[int]:
        """The processes that any `serve` of this home started."""
        own_processes = processes(self.home)
        return [pid for pid in own_processes if pid in set(_carrying(MARK, prefix=True))]


def _carrying(variable: str, *, prefix: bool = False) -> Iterator[int]:
    encoded = variable.encode() + (b"=" if prefix else b"")
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(
            setting.startswith(encoded) if prefix else setting == encoded for setting in environ
        ):
            yield int(entry.name)
