"""Files of artifacts that the site hands out: those that a manifest lists, as published."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from flowers17.artifacts import MANIFEST, Store, short_name
from flowers17.errors import ArtifactDamaged, ArtifactMissing
from flowers17.files import read_regular
from flowers17.manifests import read_manifest

SITE_VARIABLE = "FLOWERS17_SITE"  # address of the site, to which runs link
SITE_STORE_VARIABLE = "FLOWERS17_SITE_STORE"  # address of the store that it shows
# Whoever can write to a store can name a file; what is none of these is saved, not shown.
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


def published_file(store: Store, stage: str, key: str, name: str) -> tuple[bytes, str]:
    """Content and media type of an artifact's file.

    Raises ArtifactMissing unless the artifact is there and lists the file, ArtifactDamaged if its
    bytes are not those published, or a link is on the way.
    """
    folder = store.local_folder(stage, key)
    if not folder.is_dir():
        raise ArtifactMissing(f"{short_name(stage, key)}: expected an artifact, found none")
    manifest = read_manifest(folder / MANIFEST, below=store.root)
    entry = manifest["files"].get(name)
    if entry is None or (manifest["stage"], manifest["key"]) != (stage, key):
        raise ArtifactMissing(f"{short_name(stage, key)}: expected a file {name!r}, found none")
    try:
        content = read_regular(folder / name, below=store.root, at_most=entry["size"])
    except (OSError, ValueError) as problem:
        raise ArtifactDamaged(f"{folder / name}: unreadable ({problem})") from problem
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ArtifactDamaged(f"{folder / name}: its bytes are not those published")
    return content, MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
