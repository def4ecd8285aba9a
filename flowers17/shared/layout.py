"""Names of a shared store's objects: manifests, files of artifacts, checkpoints and leases."""

import re
import time
from collections.abc import Mapping
from typing import Any

from flowers17.artifacts import MANIFEST
from flowers17.manifests import KEY, STAGE
from flowers17.shared.remote import ObjectInfo

ABANDONED_S = 3600.0  # a lease that was not renewed for so long by the storage's clock
DIGITS = 16  # of a content's digest, in the name of its folder
_MANIFEST_OBJECT = re.compile(rf"({STAGE})/({KEY})/{re.escape(MANIFEST)}")
_FILE_OBJECT = re.compile(rf"(([^./][^/]*)/([^/]+)/[0-9a-f]{{{DIGITS}}})/.+")
_UNFINISHED_OBJECT = re.compile(r"(\.unfinished/([^/]+))/.+")


def manifest_name(stage: str, key: str) -> str:
    """The manifest of an artifact."""
    return f"{stage}/{key}/{MANIFEST}"


def artifact_of(name: str) -> tuple[str, str] | None:
    """Stage and key of a manifest's name; None for another object."""
    match = _MANIFEST_OBJECT.fullmatch(name)
    return (match[1], match[2]) if match else None


def files_place(manifest: Mapping[str, Any]) -> str:
    """The name below which the files of a manifest are."""
    return f"{manifest['stage']}/{manifest['key']}/{manifest['digest'][:DIGITS]}"


def abandoned_groups(objects: Mapping[str, ObjectInfo]) -> dict[str, list[ObjectInfo]]:
    """Files and checkpoints, by the name below which they are, that no process works on."""
    busy = _names_in_use(objects)
    groups: dict[str, list[ObjectInfo]] = {}
    for name, info in objects.items():
        file, checkpoint = _FILE_OBJECT.fullmatch(name), _UNFINISHED_OBJECT.fullmatch(name)
        if file and f"{file[2]}-{file[3]}" not in busy:
            groups.setdefault(file[1], []).append(info)
        elif checkpoint and checkpoint[2] not in busy:
            groups.setdefault(checkpoint[1], []).append(info)
    return groups


def _names_in_use(objects: Mapping[str, ObjectInfo]) -> set[str]:
    """Names whose lease was made, renewed or released less than ABANDONED_S ago."""
    limit = time.time() - ABANDONED_S
    leases = [(name, info) for name, info in objects.items() if name.startswith(".locks/")]
    newest = {name.split("/")[1]: info.changed for name, info in leases}
    return {name for name, changed in newest.items() if changed > limit}
