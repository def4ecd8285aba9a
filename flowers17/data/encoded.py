"""Encoded images as a source holds them, before they are decoded."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flowers17.errors import UnusableImage

MAX_IMAGE_BYTES = 64 * 2**20

Content = bytes | UnusableImage  # of a file, or why it cannot be read
FileState = tuple[str, int, int, int]  # path, bytes, time of the last change in ns, inode


class ImageFile(NamedTuple):
    """An image of a source, and its content once that is read.

    path: in the source, or as a table calls it. part: `train`, `validation` or `test` where the
    source divides its images itself, else empty. group: name shared by images that must stay on one
    side (a patient, a plant, a day), or empty. Set by a layout: name, without the folders that all
    share; label, the index of the class; row, the place among all images by label, then name.
    sha256: of the content.
    """

    path: str
    class_name: str
    part: str = ""
    group: str = ""
    name: str = ""
    label: int = 0
    row: int = 0
    data: Content = b""
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """Files of a folder or archive, by their paths in it, with slashes.

    digests: of those that may be images, where listing them reads them anyway; tables: contents
    of those that may be tables, likewise.
    """

    files: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, bytes] = field(default_factory=dict)


def content_digest(content: Content) -> str:
    """SHA-256 of a file's bytes, or of the reason why it cannot be read."""
    data = content if isinstance(content, bytes) else content.kind.encode()
    return hashlib.sha256(data).hexdigest()


def too_large(name: str) -> UnusableImage:
    """Reason why a large file is not read."""
    return UnusableImage(
        name, f"expected at most {MAX_IMAGE_BYTES:,} bytes, got more; make the image smaller"
    )
