"""Encoded images as a source holds them, before they are decoded."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flowers17.errors import UnusableImage

MAX_IMAGE_BYTES = 64 * 2**20

Content = bytes | UnusableImage  # of a file, or why it cannot be read
FileState = tuple[str, int, int, int]  # path, bytes, time of the last change in ns, inode


@dataclass(frozen=True)
class EncodedImage:
    """One image file: its name in the source, its class, and its bytes.

    part: `train`, `validation` or `test` where the source divides its images itself, else empty.
    group: name shared by images that must stay on one side (a patient, a plant, a day), or empty.
    sha256: of the file. row: its place among all images of the source by label, then name.
    """

    name: str
    label: int
    data: Content
    part: str = ""
    group: str = ""
    sha256: str = ""
    row: int = 0


@dataclass(frozen=True)
class EncodedSet:
    """A source's images, read one after the other as they are iterated, once.

    They come in the order in which they lie in the source, each with its `row`. max_pixels: that
    an image may have at most once decoded; max_total_pixels: all of them. summary, notes: what was
    understood of the source, for people.
    Iterating raises InvalidInput at the latest at the end if the source is not what it should be,
    so that nothing may be used before all was iterated.
    """

    class_names: tuple[str, ...]
    n_images: int
    images: Iterator[EncodedImage]
    max_pixels: int | None = None
    max_total_pixels: int | None = None
    summary: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[EncodedImage]:
        return self.images


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
