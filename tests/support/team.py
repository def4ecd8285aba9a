"""A team's set-up as `deployments/systemd` ships it, on loopback: PostgreSQL, server, workers."""

import configparser
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import HANG_S, ROOT, environment, eventually, free_port, kill
from tests.support.serving import COMMAND, NO_BLOCKS, Serving, processes, told

DEPLOYMENTS = ROOT / "deployments"
PROGRAMS = {
    "python": [sys.executable],
    "prefect": [sys.executable, "-m", "prefect"],
    "flowers17": COMMAND,
}


def shipped_settings(part: str) -> dict[str, str]:
    """Return the environment that `server.env.example` or `worker.env.example` sets."""
    lines = (DEPLOYMENTS / "systemd" / f"{part}.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def shipped_words(part: str) -> list[str]:
    """Return the name and the arguments of the program that a part's service file starts."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read(DEPLOYMENTS / "systemd" / f"flowers17-{part}.service")
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    return [Path(program).name, *arguments]


def shipped_command(part: str) -> list[str]:
    """The command of a part's service file, with the program from this Python."""
    program, *arguments = shipped_words(part)
    return [*PROGRAMS[program], *arguments]


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path."""
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    return versions[-1].parent if versions else None


def _version(path: Path) -> float:
    return float(path.parts[-3])


@contextmanager
def heard() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Listen on loopback; yield the address, and the JSON that was posted to it so far."""
    posted: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *values: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", posted
        server.shutdown()


class Postgres:
    """A private PostgreSQL cluster on a loopback port, with the user and database of a server.

    PostgreSQL refuses to run as root; then it runs as the user that Debian's package makes.
    """

    def __init__(self, programs: Path, settings: dict[str, str]) -> None:
        self.programs, self.port = programs, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="flowers17-postgres-"))
        self._user = settings["PREFECT_SERVER_DATABASE_USER"]
        self._password = settings["PREFECT_SERVER_DATABASE_PASSWORD"]
        self._name = settings["PREFECT_SERVER_DATABASE_NAME"]

    def create(self) -> "Postgres":
        """Make the cluster and the database, and start it."""
        secret = self.folder / "password"
        secret.write_text(self._password)
        if os.geteuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, "postgres")
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--encoding=UTF8"]
        options += [f"--pgdata={self.folder / 'data'}", f"--username={self._user}"]
        self._call("initdb", *options)
        self.start()
        self._call("createdb", *self.connection, self._name)
        return self

    @property
    def connection(self) -> list[str]:
        """The options that lead PostgreSQL's programs here."""
        return ["--host=127.0.0.1", f"--port={self.port}", f"--username={self._user}"]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._control("start", f"--options={options}", f"--log={self.folder / 'log'}")

    def stop(self) -> None:
        """Stop it; whoever is connected is thrown out."""
        self._control("stop", "--mode=fast")

    def close(self) -> None:
        """Stop it if it runs, and leave nothing."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self._control("stop", "--mode=immediate")
        shutil.rmtree(self.folder)

    def _control(self, action: str, *options: str) -> None:
        self._call("pg_ctl", action, f"--pgdata={self.folder / 'data'}", "--wait", "-s", *options)

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            env={**os.environ, "PGPASSWORD": self._password},
            cwd=self.folder,
            user="postgres" if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )


class Worker:
    """A worker as on a host of its own: its Prefect home is its own, the store is shared."""

    def __init__(self, home: Path, store: Path, settings: dict[str, str], *changes: str) -> None:
        self.home, self.log = home, home / "serve.log"
        self._settings = {**settings, "PREFECT_HOME": str(home)}
        self._command = shipped_command("worker")
        self._command[self._command.index("--store") + 1] = str(store)
        self._command += [option for change in changes for option in ("--set", change)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Worker":
        """Start it; it registers the deployments, too."""
        self.home.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=environment(**self._settings),
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def works(self) -> bool:
        """Whether it has started; fails if it ended instead."""
        running = self._process is not None and self._process.poll() is None
        assert running, self.log.read_text()
        return "Ctrl-C" in self.log.read_text()

    def crash(self) -> None:
        """Kill all its processes at once, as when its machine loses power."""
        while living := processes(self.home):
            for process in living:
                kill(process)
            if self._process:
                self._process.wait()

    def stop(self) -> None:
        """Ask it to end, wait, and kill what is left."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(HANG_S)
        self.crash()


class Team(Serving):
    """The whole set-up; talks to the API with its credentials and a CSRF token, as the UI does."""

    def __init__(self, folder: Path, programs: Path, *changes: str) -> None:
        super().__init__(folder)
        server, worker = shipped_settings("server"), shipped_settings("worker")
        self.auth = server["PREFECT_SERVER_API_AUTH_STRING"]
        self.database = Postgres(programs, server)
        self._settings = {
            **server,
            **NO_BLOCKS,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui"),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # schedules begin soon
            "PREFECT_SERVER_DATABASE_PORT": str(self.database.port),
        }
        self.member = {**worker, "PREFECT_API_URL": f"{self.ui}/api"}
        self.hosts = [
            Worker(folder / name, self.store, self.member, *changes) for name in ("one", "two")
        ]

    def start(self) -> "Team":
        """Start all of it; the second worker while the first may work already."""
        self.database.create()
        self.start_server()
        self._authenticate()
        first, second = self.hosts
        first.start()
        assert eventually(first.works), self.logs()
        second.start()
        return self

    def start_server(self) -> None:
        """Start the server, and wait until it and its database answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                shipped_command("server"),
                env=environment(**self._settings),
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert told(self._ready), self.logs()

    def _ready(self) -> bool:
        try:
            return self.client.get("ready").status_code == 200
        except httpx.TransportError:
            return False

    def _authenticate(self) -> None:
        name = uuid.uuid4().hex
        self.client.auth = httpx.BasicAuth(*self.auth.split(":", 1))
        token = self.client.get("csrf-token", params={"client": name}).raise_for_status().json()
        self.client.headers.update(
            {"Prefect-Csrf-Token": token["token"], "Prefect-Csrf-Client": name}
        )

    def close(self) -> None:
        """Stop workers, server and database in this order, and leave nothing."""
        for worker in self.hosts:
            worker.stop()
        super().close()
        self.database.close()

    def host_of(self, flow_run_id: str) -> Worker:
        """Return the worker that runs a flow run."""
        working = set(self.processes_of(flow_run_id))
        (worker,) = [host for host in self.hosts if working & processes(host.home).keys()]
        return worker

    def limit(self, tag: str) -> dict[str, Any]:
        """Return the limit of a tag: how many at a time, and how many there are."""
        limit = self.client.get(f"v2/concurrency_limits/tag:{tag}").raise_for_status().json()
        return dict(limit)

    def logs(self) -> str:
        """Return the ends of what server and workers wrote."""
        paths = [self.log, *(path for worker in self.hosts for path in worker.home.rglob("*.log"))]
        return "\n".join(f"{path}:\n{path.read_text()[-3000:]}" for path in paths if path.exists())

    worker_log = logs
