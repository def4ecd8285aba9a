"""Train for real, and kill the process that trains: at steps of a save, at random moments.

Run as a program with a folder, a number of random kills, and the stride from one step of a save to
the next at which it kills. The backend is imported once and has done nothing yet when the processes
that train are forked. Writes one JSON object, `ends.json`: how an undisturbed training ended, and
how often the others were killed and how they ended.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowers17.digests import sha256_of
from flowers17.learners.devices import prepare
from tests.support.killed_at import watch
from tests.support.tiny_training import EVERYTHING, SEED, STATEFUL, trained

RECIPE = EVERYTHING.model_copy(update={"epochs": 12})
NO_SUCH_STEP = 3
SECONDS = 0.3  # at most so long a training goes on once it is at its first batch


def trains(folder: Path, **hooks: Any) -> None:
    """Train in this process, and write down how it ended."""
    prepare("cpu", "float32", SEED)
    end = trained(folder, RECIPE, STATEFUL, **hooks)
    weights = sha256_of([weight.hex() for weight in end.weights])
    text = json.dumps([weights, end.history, end.best_epoch])
    folder.with_suffix(".json").write_text(text)


def forked(task: Callable[[], None]) -> int:
    """Run a task in a process of its own; return its id."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def ending(child: int) -> int:
    """Exit code of a process, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished(folder: Path) -> Any:
    """Train to the end, undisturbed; return how it ended."""
    code = ending(forked(lambda: trains(folder)))
    if code:
        raise SystemExit(f"the training ended with {code}")
    return json.loads(folder.with_suffix(".json").read_text())


def changes_something(step: str) -> bool:
    """Whether a killed process leaves other files before this step than before the last such one.

    Reading changes nothing, and a flush matters to a power cut alone.
    """
    action, _, path = step.partition(" ")
    if action == "open":
        return path.endswith(" w")
    return action == "rename" or (action == "remove" and not path.endswith(".partial"))


def killed_before(k: int, folder: Path, *, n_epochs: int = 1) -> bool:
    """Go on with a training until it is before the k-th step of its next save; kill it there.

    n_epochs: after which it ends if it takes fewer steps.
    """

    def task() -> None:
        count = 0

        def step(name: str) -> None:
            nonlocal count
            count += changes_something(name)
            if count == k:
                os.kill(os.getpid(), signal.SIGKILL)

        def after_epoch(_: int) -> None:
            nonlocal n_epochs
            n_epochs -= 1
            if not n_epochs:
                os._exit(NO_SUCH_STEP)

        watch(folder, step)
        trains(folder, after_epoch=after_epoch)

    code = ending(forked(task))
    if code not in (-signal.SIGKILL, NO_SUCH_STEP):
        raise SystemExit(f"the training ended with {code}")
    return code == -signal.SIGKILL


def at_steps(folder: Path, stride: int) -> dict[str, Any]:
    """Kill one training at every so many steps of its saves, one after the other."""
    # Two generations first, so that a save removes one; a new best takes fewer steps than none.
    killed_before(-1, folder, n_epochs=2)
    kills, n_missed, k = [], 0, 1
    while n_missed < 2:
        if killed_before(k, folder):
            kills.append(k)
        else:
            n_missed += 1
        k += stride
    return {"kills": kills, "end": finished(folder)}


def killed_after(seconds: float, folder: Path, *, from_first_batch: bool) -> bool:
    """Go on with a training and kill it so much later; return whether it was still at it."""
    reader, writer = os.pipe()

    def task() -> None:
        trains(folder, after_batch=lambda *_: os.write(writer, b"."))

    child = forked(task)
    os.close(writer)
    if from_first_batch:
        os.read(reader, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.close(reader)
    return ending(child) == -signal.SIGKILL


def at_random_moments(folder: Path, n_kills: int) -> dict[str, Any]:
    """Kill one training again and again; one that came to its end begins anew."""
    moments, killed, ends = random.Random(17), 0, []
    while killed < n_kills:
        while_starting = killed % 3 == 2
        seconds = moments.uniform(0, 2.0 if while_starting else SECONDS)
        if killed_after(seconds, folder, from_first_batch=not while_starting):
            killed += 1
        else:
            ends.append(finished(folder))
            shutil.rmtree(folder)
    return {"kills": killed, "ends": [*ends, finished(folder)]}


def main(root: Path, n_kills: int, stride: int) -> None:
    """Train undisturbed, then killed in both ways."""
    result = {
        "undisturbed": finished(root / "undisturbed"),
        "steps": at_steps(root / "steps", stride),
        "random": at_random_moments(root / "random", n_kills),
    }
    (root / "ends.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
