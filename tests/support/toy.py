"""Stages small enough to test the machinery with: numbers that are added, slowly if asked."""

import json
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.errors import DownloadFailed, InvalidInput, WeightsMissing
from flowers17.stages import Job, Stage

logger = logging.getLogger("flowers17.toy")
ENVIRONMENT = ("TOY_EARLY", "TOY_LATE")  # variables that `environment` tells of


def number(name: str, value: int, *inputs: Stage, **rest: Any) -> Stage:
    """Return a stage whose artifact is `value` plus what its inputs hold."""
    config = {"value": value, **rest.pop("config", {})}
    by_label = {stage.label: stage for stage in inputs}
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
    elif problem == "temporary file":
        tempfile.NamedTemporaryFile(delete=False).close()
    elif problem == "missing":
        raise WeightsMissing("expected weights, found none")
    elif problem == "transient" and not _second_try(job.resources["tries"]):
        raise DownloadFailed("the connection broke", transient=True)
    elif problem == "invalid":
        raise InvalidInput("expected a flower, got a stone")
    elif problem == "bug":
        raise ZeroDivisionError("division by zero")
    elif problem == "halfway" and not _second_try(job.resources["tries"]):
        job.unfinished.mkdir(parents=True)
        (job.unfinished / "half").write_text("1")
        raise InvalidInput("half done")
    elif problem == "halfway":
        (job.unfinished / "half").read_text()
    elif problem == "fails once" and not _second_try(job.resources["tries"]):
        raise InvalidInput("expected a flower, got a stone")
    elif problem == "hangs once" and not _second_try(job.resources["tries"]):
        time.sleep(600)
    elif problem == "end of file":
        raise EOFError("compressed file ended early")
    elif problem == "endless words":
        raise ZeroDivisionError("\x1b[31m" + "x" * 1_000_000 + " by zero")
    elif problem == "unsendable":
        raise Unsendable("a flower", colour="red")
    elif problem == "exit":
        os._exit(3)
    elif problem == "transient for ever":
        raise DownloadFailed("the connection broke", transient=True)
    elif problem == "chatty":
        _chatter(job)
    elif problem == "environment":
        logger.info(json.dumps({name: os.environ.get(name) for name in ENVIRONMENT}))
    for n_done in range(3):
        job.progress(n_done + 1, 3, "parts")
    if "n_bytes" in job.config:
        job.save_array("large", np.full(job.config["n_bytes"], 7, np.uint8))
    total = job.config["value"] + sum(artifact.json("total") for artifact in job.inputs.values())
    job.save_json("total", total)
    return {"total": total, "missing": len(job.missing)}


def together(job: Job) -> Mapping[str, Any]:
    """Wait until so many of these have begun, then a second; note when this one ran, and where."""
    folder, begun = job.resources["spans"], time.monotonic()
    (folder / f"{job.config['value']}.begun").touch()
    while len(list(folder.glob("*.begun"))) < job.config["at_once"]:
        time.sleep(0.02)
    time.sleep(1.0)
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    span = json.dumps([begun, time.monotonic(), gpu])
    (folder / f"{job.config['value']}.json").write_text(span)
    job.save_json("total", job.config["value"])
    return {}


class Unsendable(Exception):
    """An error that pickles, and cannot be unpickled: some libraries have such."""

    def __init__(self, noun: str, *, colour: str) -> None:
        super().__init__(f"{noun} is {colour}")


def _chatter(job: Job) -> None:
    """Log and tell progress from several threads at once, in messages larger than a pipe's."""

    def talk(thread: int) -> None:
        for count in range(20):
            logger.info("%d %s", thread, "x" * 100_000)
            job.progress(count + 1, 20, "words")

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _second_try(path: Path) -> bool:
    tried = path.exists()
    path.touch()
    return tried
