"""Artifacts published by hand, and listings of a store."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowers17.artifacts import Artifact, Store
from flowers17.digests import sha256_of

FILES = {"numbers.json": b"[1, 2, 3]\n", "tables/one.csv": b"a,b\n1,2\n"}


def material(config: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The material of a key."""
    plain = {"config": dict(config or {}), "seed": 17, "inputs": {}, "code": {}, "libraries": {}}
    return {**plain, **changes}


_MATERIALS = {
    sha256_of(each): each for each in (material({"number": number}) for number in range(100))
}
KEYS = list(_MATERIALS)  # each of a material of its own
KEY, OTHER_KEY = KEYS[:2]


def described(stage: str, key: str, **manifest: Any) -> dict[str, Any]:
    """Return a manifest as a stage publishes it; without material, `key` is one of KEYS."""
    plain: dict[str, Any] = {
        "stage": stage,
        "key": key,
        "label": stage,
        "inputs": {},
        "metrics": {},
        "machine": {},
        "duration_s": 1.5,
        "created": "2026-01-01T00:00:00Z",
    }
    return {**plain, "material": _MATERIALS.get(key), **manifest}


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
        return store.publish(folder, described(stage, key, **manifest))


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Change a manifest and make its digest and seal fit, as one who knows the code would."""
    manifest = json.loads(path.read_text())
    change(manifest)
    files = manifest.get("files")
    if isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values()):
        manifest["digest"] = sha256_of({name: entry.get("sha256") for name, entry in files.items()})
    manifest["seal"] = sha256_of({**manifest, "seal": None})
    path.write_text(json.dumps(manifest))
    return dict(manifest)


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_aside(store: Store) -> list[Path]:
    """The damaged artifacts that a store has set aside."""
    return sorted((store.root / ".damaged").glob("*"))


def unfinished(store: Store) -> list[Path]:
    """Files of builds that did not end."""
    return sorted((store.root / ".partial").glob("*"))
