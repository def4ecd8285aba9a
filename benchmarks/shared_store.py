"""A flow on object storage and in a folder: seconds and requests, built and cached.

    python benchmarks/shared_store.py features --set 'features.table=[{extractor: mobilenet}]'

Object storage is moto's server on loopback, in memory. So the time is that of the protocol and of
our own work, not of a network. Prefect's server is started once, for all runs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import options_of

from flows.local_server import Server
from tests.support.object_storage import object_storage


def main() -> None:
    """Print one line of JSON for each run."""
    settings = {"action": "append", "default": [], "help": "of the flow, as KEY=VALUE"}
    options = options_of(__doc__, "repeats", words=("flow", "a flow"), set=settings)
    with (
        tempfile.TemporaryDirectory() as name,
        object_storage(Path(name)) as storage,
        Server() as server,
        server.connected() as api,
    ):
        variables = {**os.environ, **storage.variables, "PREFECT_API_URL": api}
        variables["PREFECT_API_AUTH_STRING"] = server.password or ""

        def run(store: str, cache: str, title: str, repeats: int = 1) -> None:
            seconds = []
            for _ in range(repeats):
                before, started = len(storage.requests()), time.monotonic()
                words = ["run", *options.flow, "--store", store, "--json"]
                words += [f"--set={setting}" for setting in options.set]
                process = subprocess.run(
                    [sys.executable, "-c", "from flowers17.cli import main; main()", *words],
                    env={**variables, "FLOWERS17_CACHE": f"{name}/{cache}"},
                    check=True,
                    capture_output=True,
                )
                seconds.append(round(time.monotonic() - started, 2))
            counts = {ending: n for ending, n in json.loads(process.stdout)["counts"].items() if n}
            n_requests = len(storage.requests()) - before
            line = {"run": title, "seconds": min(seconds), "requests": n_requests, **counts}
            print(json.dumps(line), flush=True)

        run(f"{name}/folder", "none", "folder, built")
        run(f"{name}/folder", "none", "folder, cached", options.repeats)
        run(storage.address, "one", "object storage, built")
        run(storage.address, "one", "object storage, cached here", options.repeats)
        run(storage.address, "two", "object storage, new machine")


if __name__ == "__main__":
    main()
