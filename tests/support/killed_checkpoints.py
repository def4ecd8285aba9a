"""Save checkpoints and kill the process at every step that it takes on their folder.

Run as a program with a folder. For each k = 1, 2, … a forked process saves four generations in a
folder of its own, resuming from what is there, and is killed with SIGKILL before its k-th step
(as in `killed_at`). Prints one JSON object: for each k what was found then, and what a second,
undisturbed process ended with; and the steps.
"""

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.digests import sha256_of
from flowers17.learners.checkpoints import Checkpoints, Generation
from tests.support.killed_at import watch

EPOCHS = 4
BEST = (1, 2, 2, 2)
CONFIGURATION = "c" * 64


def arrays(epoch: int) -> list[np.ndarray]:
    """Arrays in place of the weights after an epoch."""
    return [np.random.default_rng(epoch).random((20, 3)), np.array(epoch)]


def save_all(folder: Path) -> None:
    """Save what is not there yet of the four generations."""
    with Checkpoints(folder, CONFIGURATION) as checkpoints:
        newest = checkpoints.latest()
        for epoch in range(newest.epoch if newest else 0, EPOCHS):
            number, best = epoch + 1, BEST[epoch]
            weights = arrays(number)
            groups = {"weights": weights, "best": weights if best == number else arrays(best)}
            checkpoints.save(number, groups, {"best_epoch": best}, since={"best": best})


def summary(generation: Generation | None) -> dict[str, Any]:
    """A generation as JSON, its arrays by digest."""
    if generation is None:
        return {"epoch": 0}
    groups = {
        role: [array.tobytes().hex() for array in group]
        for role, group in generation.arrays.items()
    }
    return {
        "epoch": generation.epoch,
        "values": dict(generation.values),
        "arrays": sha256_of(groups),
    }


def latest(folder: Path) -> dict[str, Any]:
    """Newest generation of a folder."""
    with Checkpoints(folder, CONFIGURATION) as checkpoints:
        return summary(checkpoints.latest())


def killed_before(k: int, folder: Path) -> list[str] | None:
    """Save in a forked process; return the steps taken if it was killed before its k-th."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def step(name: str) -> None:
            nonlocal count
            count += 1
            if count == k:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(writer, f"{name}\n".encode())

        watch(folder, step)
        save_all(folder)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        step_names = stream.read().splitlines()
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    return step_names if killed else None


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main(root: Path) -> None:
    """Kill at each step until all generations are saved."""
    warnings = _Warnings()
    logging.getLogger("flowers17").addHandler(warnings)
    truth = {}
    for epoch in range(1, EPOCHS + 1):
        values, groups = {"best_epoch": BEST[epoch - 1]}, {}
        groups = {"weights": arrays(epoch), "best": arrays(BEST[epoch - 1])}
        truth[str(epoch)] = summary(Generation(epoch, groups, values))
    kills: list[dict[str, Any]] = []
    while True:
        folder = root / str(len(kills) + 1)
        step_names = killed_before(len(kills) + 1, folder)
        if step_names is None:
            break
        newest = latest(folder)
        save_all(folder)
        kills.append(
            {
                "steps": step_names,
                "newest": newest,
                "end": latest(folder),
                "partial": sorted(path.name for path in folder.glob("*.partial")),
                "n_generations": len(list(folder.glob("generation-*.json"))),
            }
        )
    print(json.dumps({"kills": kills, "truth": truth, "warnings": warnings.texts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
