"""Images of any source as arrays: decoded once, square, in one deterministic order."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from typing import Any

import numpy as np

from flowers17.config import ResizeName
from flowers17.data import oxford17, rendered
from flowers17.data.decoding import DEPTHS, MAX_PIXELS, squares, stated_size
from flowers17.data.encoded import ImageFile
from flowers17.data.names import listed
from flowers17.data.source import EncodedSet, Source, encoded_images
from flowers17.errors import InvalidInput, UnusableImage, UnusableImages

Progress = Callable[[int, int], None]
Allocate = Callable[[tuple[int, ...], type[np.generic]], np.ndarray]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Square images with their labels, names and origin.

    images: uint8 (n, size, size, 3); labels: int64 (n,), indices into `class_names`; by label,
    then name. sha256: of each encoded file, or of the pixels for rendered flowers.
    original_sizes: (width, height) before cropping. source: kind, digest and settings, no path; of
    your own images what was understood of them, and the depth of grey levels below 16 bits.
    verified: whether the images are the official Flowers-17 ones; None where that cannot be.
    parts, groups: of each image, as the source gives them (see `ImageFile`); empty if it gives
    none of them to any image.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    sha256: tuple[str, ...]
    original_sizes: tuple[tuple[int, int], ...]
    source: Mapping[str, Any]
    verified: bool | None
    parts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def items(self) -> dict[str, Any]:
        """Return all but the arrays as plain JSON."""
        return {
            "class_names": list(self.class_names),
            "names": list(self.names),
            "sha256": list(self.sha256),
            "original_sizes": [list(size) for size in self.original_sizes],
            "source": dict(self.source),
            "verified": self.verified,
            **({"parts": list(self.parts)} if self.parts else {}),
            **({"groups": list(self.groups)} if self.groups else {}),
        }

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, items: Mapping[str, Any]) -> "ImageSet":
        """Set of arrays and items, as `items` gives them."""
        return cls(
            images=images,
            labels=labels,
            names=tuple(items["names"]),
            class_names=tuple(items["class_names"]),
            sha256=tuple(items["sha256"]),
            original_sizes=tuple((width, height) for width, height in items["original_sizes"]),
            source=items["source"],
            verified=items["verified"],
            parts=tuple(items.get("parts", ())),
            groups=tuple(items.get("groups", ())),
        )


@dataclass(frozen=True)
class _ImageRecord:
    """An image without its data, and what decoding it told."""

    image: ImageFile
    size: tuple[int, int] = (0, 0)
    highest: int = 0
    is_cut: bool = False
    problem: UnusableImage | None = None


_DecodedImage = tuple[_ImageRecord, np.ndarray | None]


def image_set(
    source: Source,
    *,
    size: int,
    resize: ResizeName = "crop",
    n_classes: int = 17,
    images_per_class: int = 80,
    seed: int = 17,
    max_pixels: int = MAX_PIXELS,
    reads_cut: bool = False,
    progress: Progress | None = None,
    n_threads: int | None = None,
    allocate: Allocate = np.empty,
) -> ImageSet:
    """Return a source's images as squares of `size` pixels.

    resize: how images become squares, but rendered flowers, which are drawn as such.
    n_classes, images_per_class, seed: of rendered flowers; other sources ignore them.
    max_pixels: of one image; reads_cut: whether JPEGs whose end is missing are read.
    progress: called with images done and images in all. n_threads: default: one a core, up to 8.
    allocate: gives the array that the images are written to, of a shape and a type; each row is
    written once, so that an array on the disk need not fit into memory.
    Raises UnusableImages on all images that cannot be used, InvalidInput if the source is not as it
    should be, ChecksumMismatch if its content has another digest.
    """
    report = progress or (lambda n_done, total: None)
    if source.kind == "rendered":
        return _rendered_set(size, n_classes, images_per_class, seed, report, allocate)
    encoded = encoded_images(source)
    layout = encoded.layout
    images = allocate((len(layout.rows), size, size, 3), np.uint8)
    decoded: list[_ImageRecord] = []
    n_pixels = 0
    decode = partial(
        _decoded_image,
        size=size,
        resize=resize,
        max_pixels=min(max_pixels, encoded.max_pixels or max_pixels),
        reads_cut=reads_cut,
    )
    for record, pixels in _decoded_in_order(encoded, decode, n_threads or min(8, cpu_count() or 1)):
        if pixels is not None:
            images[record.image.row] = pixels
        decoded.append(record)
        n_pixels += record.size[0] * record.size[1]
        if encoded.max_total_pixels and n_pixels > encoded.max_total_pixels:
            raise InvalidInput(
                f"archive {source.path}: expected at most {encoded.max_total_pixels:,} pixels in "
                "all images, got more; unpack it yourself, if you trust it"
            )
        report(len(decoded), len(layout.rows))
    verified = _verified(source, decoded)
    if problems := [(record.image.name, record.problem) for record in decoded if record.problem]:
        raise UnusableImages.among(problems, len(decoded))
    decoded.sort(key=lambda record: record.image.row)
    facts: dict[str, Any] = {"kind": source.kind, "digest": source.digest}
    notes = []
    if cut := [record.image.name for record in decoded if record.is_cut]:
        notes.append(f"JPEGs whose end is missing, read as far as they go: {listed(cut)}")
    if depth := _depth(images, decoded):
        facts["depth"] = depth
        notes.append(
            f"grey levels of {depth} bits in files of 16 bits: {2**depth - 1:,} is read as white"
        )
    for note in notes:
        logger.warning("%s: %s", source.path, note)
    if not layout.is_official:
        facts |= {"layout": layout.summary, "notes": [*layout.notes, *notes]}
    return ImageSet(
        images=images,
        labels=np.array([record.image.label for record in decoded], np.int64),
        names=tuple(record.image.name for record in decoded),
        class_names=layout.class_names,
        sha256=tuple(record.image.sha256 for record in decoded),
        original_sizes=tuple(record.size for record in decoded),
        source=facts,
        verified=verified,
        parts=_values(record.image.part for record in decoded),
        groups=_values(record.image.group for record in decoded),
    )


def _verified(source: Source, decoded: Iterable[_ImageRecord]) -> bool | None:
    """Whether images are the official ones; None where that cannot be."""
    if source.kind not in ("oxford17", "archive"):
        return None
    digests = {record.image.name: record.image.sha256 for record in decoded}
    verified = oxford17.is_verified(digests, required=source.kind == "oxford17")
    if not verified:
        logger.warning(
            "archive %s: images differ from the official Flowers-17 ones; going on with them "
            "as your own, marked as unverified",
            source.path,
        )
    return verified


def _depth(images: np.ndarray, decoded: list[_ImageRecord]) -> int | None:
    """Bits of the grey levels in files of 16 bits if they are fewer, by the highest level of all.

    Leaves in the squares of such files, which hold a channel for each of DEPTHS, that of the depth.
    """
    deep = [record.image.row for record in decoded if record.highest]
    highest = max((record.highest for record in decoded), default=0)
    channel = max(channel for channel, bits in enumerate(DEPTHS) if highest < 2**bits)
    for row in deep:
        images[row] = images[row, :, :, channel, None]
    return DEPTHS[channel] if deep and channel else None


def _values(values: Iterable[str]) -> tuple[str, ...]:
    """The values, or none if all are empty."""
    texts = tuple(values)
    return texts if any(texts) else ()


def _decoded_in_order(
    encoded: EncodedSet, decode: Callable[[ImageFile], _DecodedImage], n_threads: int
) -> Iterator[_DecodedImage]:
    """Yield images and their pixels in the order given, a bounded number in memory at a time."""
    pending: deque[Future[_DecodedImage]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for image in encoded:
            pending.append(pool.submit(decode, image))
            if len(pending) >= 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _decoded_image(
    encoded: ImageFile, *, size: int, resize: ResizeName, max_pixels: int, reads_cut: bool
) -> _DecodedImage:
    image, data = encoded._replace(data=b""), encoded.data
    if isinstance(data, UnusableImage):
        return _ImageRecord(image, problem=data), None
    options: dict[str, Any] = {"resize": resize, "max_pixels": max_pixels, "reads_cut": reads_cut}
    try:
        decoded = squares(data, image.name, [size], depth=None, **options)
    except UnusableImage as error:
        # Its traceback would hold the pixels.
        problem = UnusableImage(error.name, error.kind, error.detail)
        return _ImageRecord(image, stated_size(data), problem=problem), None
    record = _ImageRecord(image, decoded.size, decoded.highest, decoded.is_cut)
    return record, decoded.squares[size]


def _rendered_set(
    size: int,
    n_classes: int,
    images_per_class: int,
    seed: int,
    progress: Progress,
    allocate: Allocate,
) -> ImageSet:
    images, labels = rendered.flowers(
        n_classes=n_classes,
        images_per_class=images_per_class,
        size=size,
        seed=seed,
        progress=progress,
        allocate=allocate,
    )
    class_names = oxford17.CLASS_NAMES[:n_classes]
    return ImageSet(
        images=images,
        labels=labels,
        names=tuple(
            f"{name}/{index:05d}" for name in class_names for index in range(images_per_class)
        ),
        class_names=class_names,
        sha256=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
        original_sizes=((size, size),) * len(images),
        source={
            "kind": "rendered",
            "digest": None,
            "n_classes": n_classes,
            "images_per_class": images_per_class,
            "seed": seed,
        },
        verified=None,
    )
