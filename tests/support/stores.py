"""Artifacts made by hand, and what a store holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.artifacts import Artifact, Store

KEY = "0123456789abcdef" * 4
FILES = {"numbers.json": b"[1, 2, 3]\n", "tables/one.csv": b"a,b\n1,2\n"}


def publish(
    store: Store,
    key: str = KEY,
    files: Mapping[str, bytes] = FILES,
    *,
    stage: str = "numbers",
    **manifest: Any,
) -> Artifact:
    """Publish an artifact with the given files, as a stage would."""
    with store.lock(stage, key), store.writing(stage, key) as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return store.publish(folder, {"stage": stage, "key": key, "metrics": {}, **manifest})


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_aside(store: Store) -> list[Path]:
    """Return what the store has put aside as damaged."""
    return sorted((store.root / ".damaged").glob("*"))


def unfinished(store: Store) -> list[Path]:
    """Return what builds that did not end left."""
    return sorted((store.root / ".partial").glob("*"))
