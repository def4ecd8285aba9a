"""How long a person waits: for `serve` to be ready, and from Submit to a run's first stage.

Run as `python -m tests.support.starts`; it prints seconds.
"""

import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.support.serving import SMALL, Serving


def first_stage_s(serving: Serving, seed: int) -> float:
    """Seconds from the creation of a run, which Submit asks for, to its first task's start."""
    flow_run_id = serving.start_run("dataset", seed=seed).json()["id"]
    run = serving.reaches(flow_run_id, "COMPLETED")
    query = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    tasks = serving.client.post("task_runs/filter", json=query).json()
    first = min(datetime.fromisoformat(task["start_time"]) for task in tasks)
    return (first - datetime.fromisoformat(run["created"])).total_seconds()


def main(n_runs: int = 5) -> None:
    """Print the figures of one `serve` and of several runs, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder), *SMALL)
        try:
            began = time.monotonic()
            serving.start()
            print(f"serve ready  {time.monotonic() - began:.1f} s")
            seconds = sorted(first_stage_s(serving, seed) for seed in range(n_runs))
            print(f"first stage  {' '.join(f'{value:.1f}' for value in seconds)} s")
        finally:
            serving.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
