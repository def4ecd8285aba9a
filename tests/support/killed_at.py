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

    def path_of(value: Any) -> str:
        absolute = (
            Path(f"/proc/self/fd/{value}").readlink() if isinstance(value, int) else Path(value)
        )
        return str(absolute.relative_to(root)) if absolute.is_relative_to(root) else ""

    def fsync(descriptor: int) -> None:
        step(f"fsync {path_of(descriptor)}")
        flush(descriptor)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and isinstance(arguments[0], str | Path | int):
            path = path_of(arguments[0])
            if path:
                # mode None: os.open, here only to flush
                mode = f" {arguments[1]}" if event == "open" else ""
                step(f"{event.removeprefix('os.')} {path}{mode}")

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
    """Steps of an undisturbed build."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        names: list[str] = []
        watch(root, names.append)
        ensure(STAGE, {}, Store(root))
        with os.fdopen(writer, "w") as stream:
            json.dump(names, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        names = json.load(stream)
    os.wait()
    return names


def bytes_of(store: Store) -> dict[str, str]:
    """Files of the artifact in hexadecimal, without the manifest, which has the time."""
    folder = store.folder("number", stage_key(STAGE, {}))
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.name: path.read_bytes().hex() for path in files}


def main(folder: Path) -> None:
    """Kill at each step until a build gets to its end."""
    kills = []
    k = 1
    while killed_before(k, folder / str(k)):
        store = Store(folder / str(k))
        is_published = store.folder("number", stage_key(STAGE, {})).exists()
        is_valid = existing(STAGE, {}, store) is not None
        rebuilt = ensure(STAGE, {}, store)
        n_left = len(list((store.root / ".partial").glob("*")))
        is_set_aside = (store.root / ".damaged").exists()
        kills.append(
            {
                "k": k,
                "there": is_published,
                "whole": is_valid,
                "reused": rebuilt.reused,
                "digest": rebuilt.reference.digest,
                "bytes": bytes_of(store),
                "left": n_left,
                "set aside": is_set_aside,
            }
        )
        k += 1
    undisturbed = Store(folder / "undisturbed")
    step_names = steps(undisturbed.root)
    print(json.dumps({"kills": kills, "steps": step_names, "bytes": bytes_of(undisturbed)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
