"""Encoded images as a source holds them, before they are decoded."""

from collections.abc import Iterator
from dataclasses import dataclass

from flowers17.data.decoding import MAX_PIXELS

MAX_IMAGE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class EncodedImage:
    """One image file: its name in the source, its class, and its bytes.

    part: `train`, `validation` or `test` where the source divides its images itself, else empty.
    group: name shared by images that must stay on one side (a patient, a plant, a day), or empty.
    """

    name: str
    label: int
    data: bytes
    part: str = ""
    group: str = ""


@dataclass(frozen=True)
class EncodedSet:
    """A source's images, read one after the other as they are iterated, once.

    max_pixels: that an image may have once decoded.
    Iterating raises InvalidInput at the latest at the end if the source is not what it should be,
    so that nothing may be used before all was iterated.
    """

    class_names: tuple[str, ...]
    n_images: int
    images: Iterator[EncodedImage]
    max_pixels: int = MAX_PIXELS

    def __iter__(self) -> Iterator[EncodedImage]:
        return self.images
