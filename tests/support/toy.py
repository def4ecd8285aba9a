"""Stages small enough to test the machinery with: numbers that are added, slowly if asked."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.errors import DownloadFailed, InvalidInput, WeightsMissing
from flowers17.stages import Job, Stage


def number(name: str, value: int, *inputs: Stage, **rest: Any) -> Stage:
    """Return a stage whose artifact is `value` plus what its inputs hold."""
    config = {"value": value, **rest.pop("config", {})}
    by_label = {one.label: one for one in inputs}
    return Stage.of("number", name, "tests.support.toy:add", config, inputs=by_label, **rest)


def add(job: Job) -> Mapping[str, Any]:
    """Add up; each call leaves a line in the file `calls` if there is such a resource."""
    if "calls" in job.resources:
        with job.resources["calls"].open("a") as stream:
            stream.write(f"{job.config['value']}\n")
    if "seconds" in job.config:
        time.sleep(job.config["seconds"])
    problem = job.config.get("problem")
    if problem == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif problem == "missing":
        raise WeightsMissing("expected weights, found none")
    elif problem == "transient" and not _second_try(job.resources["tries"]):
        raise DownloadFailed("the connection broke", transient=True)
    elif problem == "invalid":
        raise InvalidInput("expected a flower, got a stone")
    elif problem == "bug":
        raise ZeroDivisionError("division by zero")
    for done in range(3):
        job.progress(done + 1, 3, "parts")
    total = job.config["value"] + sum(one.json("total") for one in job.inputs.values())
    job.save_json("total", total)
    return {"total": total, "missing": len(job.missing)}


def _second_try(path: Path) -> bool:
    tried = path.exists()
    path.touch()
    return tried
