"""SHA-256 digests of values and of files, of which keys and manifests are made."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flowers17.files import open_regular


def canonical_json(value: Any) -> str:
    """The canonical JSON of a value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(value: Any) -> str:
    """The SHA-256, in hexadecimal, of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def read_sha256(path: Path) -> str:
    """The SHA-256 of a regular file's bytes as they are on the disk now, in hexadecimal.

    Raises OSError for a link, a pipe or a folder.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_difference(path: Path, digests: Mapping[str, str | None]) -> str:
    """Difference of a file's digests from the expected ones, in words; empty if there is none."""
    for name, expected in digests.items():
        if expected:
            # MD5 tells damage, as some sites give nothing else; it is no protection.
            empty = partial(hashlib.new, name, usedforsecurity=False)
            with path.open("rb") as stream:
                actual = hashlib.file_digest(stream, empty).hexdigest()
            if actual != expected.lower():
                return f"expected {name} {expected[:12]}…, got {actual[:12]}…"
    return ""


_remembered: dict[tuple[str | int, ...], str] = {}


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes; read again only if something wrote to the file.

    For large files of the user, which many stages need and which may be links; files of a store
    are read by `read_sha256`.
    """
    path = path.resolve()
    status = path.stat()
    state = (str(path.absolute()), status.st_ino, status.st_size, status.st_ctime_ns)
    digest = _remembered.get(state) or read_sha256(path)
    # A later write within the clock's tick would not show in the time of change.
    if time.time_ns() - status.st_ctime_ns > 1_000_000_000:
        _remembered[state] = digest
    return digest
