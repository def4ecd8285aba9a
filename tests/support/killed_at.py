"""Build a toy stage and kill the process at every step that it takes on the store.

Run as a program with a folder. For each k = 1, 2, … a forked process builds into a store of its own
and is killed with SIGKILL before its k-th step: a file opened or made, a folder made, a flush to
disk, a rename, a lock, a removal. Prints one JSON object: for each k what the store held then, and
what a second, undisturbed build made of it; the steps; and an undisturbed artifact's bytes.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowers17.artifacts import MANIFEST, Store
from flowers17.stages import ensure, existing, stage_key
from tests.support.toy import number

STAGE = number("killed", 5, config={"n_bytes": 10_000})
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"}


def watch(root: Path, step: Callable[[str], None]) -> None:
    """Call `step` before each step on the store, with its name and place."""
    flush = os.fsync

    def place(value: Any) -> str:
        path = Path(f"/proc/self/fd/{value}").readlink() if isinstance(value, int) else Path(value)
        return str(path.relative_to(root)) if path.is_relative_to(root) else ""

    def fsync(descriptor: int) -> None:
        step(f"fsync {place(descriptor)}")
        flush(descriptor)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and isinstance(arguments[0], str | Path | int):
            where = place(arguments[0])
            if where:
                # mode None: os.open, here only to flush
                mode = f" {arguments[1]}" if event == "open" else ""
                step(f"{event.removeprefix('os.')} {where}{mode}")

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


def killed_before(k: int, root: Path) -> bool:
    """Build in a forked process; return whether it was killed before its k-th step."""
    child = os.fork()
    if child == 0:
        count = 0

        def step(_: str) -> None:
            nonlocal count
            count += 1
            if count == k:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(root, step)
        ensure(STAGE, {}, Store(root))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def steps(root: Path) -> list[str]:
    """Return the steps of an undisturbed build."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        taken: list[str] = []
        watch(root, taken.append)
        ensure(STAGE, {}, Store(root))
        with os.fdopen(writer, "w") as stream:
            json.dump(taken, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        taken = json.load(stream)
    os.wait()
    return taken


def bytes_of(store: Store) -> dict[str, str]:
    """Return the artifact's files in hexadecimal, without the manifest, which holds the time."""
    folder = store.folder("number", stage_key(STAGE, {}))
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.name: path.read_bytes().hex() for path in files}


def main(folder: Path) -> None:
    """Kill at each step until a build gets to its end."""
    kills = []
    k = 1
    while killed_before(k, folder / str(k)):
        store = Store(folder / str(k))
        there = store.folder("number", stage_key(STAGE, {})).exists()
        whole = existing(STAGE, {}, store) is not None
        again = ensure(STAGE, {}, store)
        left = len(list((store.root / ".partial").glob("*")))
        aside = (store.root / ".damaged").exists()
        kills.append(
            {
                "k": k,
                "there": there,
                "whole": whole,
                "reused": again.reused,
                "digest": again.reference.digest,
                "bytes": bytes_of(store),
                "left": left,
                "set aside": aside,
            }
        )
        k += 1
    undisturbed = Store(folder / "undisturbed")
    taken = steps(undisturbed.root)
    print(json.dumps({"kills": kills, "steps": taken, "bytes": bytes_of(undisturbed)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
