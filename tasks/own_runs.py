"""Which runs this user has begun on this machine: `recover` runs no others again here.

A run on a server says nothing about who began it. So each leaves a file in Prefect's home while it
is at work. Its name is the digest of the flow and its parameters. Only the user
can write one, and nothing runs again that the user had not run before.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from flowers17.errors import Flowers17Error
from tasks.own_files import own_file, own_folder, prefect_home

KEPT_S = 14 * 24 * 3600.0  # what killed runs left, as long as `gc` keeps their checkpoints


def run_digest(flow: str, parameters: Mapping[str, Any]) -> str:
    """Digest of a run's flow and parameters; these are as the server holds them."""
    call = {"flow": flow, "parameters": parameters}
    return sha256(json.dumps(call, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _record(digest: str) -> Path:
    return prefect_home() / "flowers17-runs" / digest


@contextmanager
def recorded(digest: str) -> Iterator[None]:
    """Keep a run on record until it ends by itself; a killed one stays on record."""
    path = _record(digest)
    with suppress(OSError, Flowers17Error):  # no record can be made: the run goes on without
        _forget_old(own_folder(path.parent))
        with os.fdopen(own_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as stream:
            stream.write(digest)
    try:
        yield
    finally:
        forget_record(digest)


def is_recorded(digest: str) -> bool:
    """Whether this user began such a run here that did not end by itself."""
    try:
        with os.fdopen(own_file(_record(digest), os.O_RDONLY), errors="replace") as stream:
            return stream.read(2 * len(digest)) == digest  # no other file of the user, linked here
    except (OSError, Flowers17Error):
        return False


def forget_record(digest: str) -> None:
    """Remove a record, if there is one."""
    with suppress(OSError):
        _record(digest).unlink()


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        is_record = re.fullmatch("[0-9a-f]{64}", path.name)
        if is_record and path.lstat().st_mtime < time.time() - KEPT_S:
            path.unlink()
