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
from flowers17.data.decoding import DEPTHS, MAX_PIXELS, Decoded, squares, stated_size
from flowers17.data.encoded import ImageFile
from flowers17.data.names import listed
from flowers17.data.source import EncodedSet, Source, encoded_images
from flowers17.errors import InvalidInput, UnusableImage, UnusableImages

Progress = Callable[[int, int], None]
Allocate = Callable[[tuple[int, ...], type[np.generic]], np.ndarray]
_MAX_OFFICIAL_PIXELS = 5_000_000  # official images have half a million
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
        """Return all but the arrays, ready for JSON; parts and groups only if there are any."""
        left_out = {"images", "labels"} | {
            name for name in ("parts", "groups") if not vars(self)[name]
        }
        return {name: value for name, value in vars(self).items() if name not in left_out}


_DecodedImage = tuple[ImageFile, Decoded]  # an image without its data, and what decoding it gave


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
    if source.kind == "rendered":
        drawn = {"n_classes": n_classes, "images_per_class": images_per_class, "seed": seed}
        return _rendered_set(size, drawn, progress, allocate)
    encoded = encoded_images(source)
    layout = encoded.layout
    images = allocate((len(layout.rows), size, size, 3), np.uint8)
    decoded: list[_DecodedImage] = []
    n_pixels = 0
    decode = partial(
        _decoded_image,
        size=size,
        resize=resize,
        max_pixels=min(max_pixels, _MAX_OFFICIAL_PIXELS if layout.is_official else max_pixels),
        reads_cut=reads_cut,
    )
    n_threads = n_threads or min(8, cpu_count() or 1)
    for image, picture in _decoded_in_order(encoded, decode, n_threads):
        for square in picture.squares.values():
            images[image.row] = square
        decoded.append((image, picture._replace(squares={})))
        n_pixels += picture.size[0] * picture.size[1]
        if encoded.max_total_pixels and n_pixels > encoded.max_total_pixels:
            raise InvalidInput(
                f"archive {source.path}: expected at most {encoded.max_total_pixels:,} pixels in "
                "all images, got more; unpack it yourself, if you trust it"
            )
        if progress:
            progress(len(decoded), len(layout.rows))
    verified = _verified(source, decoded)
    if problems := [(image.name, picture.problem) for image, picture in decoded if picture.problem]:
        raise UnusableImages.among(problems, len(decoded))
    decoded.sort(key=lambda pair: pair[0].row)
    facts: dict[str, Any] = {"kind": source.kind, "digest": source.digest}
    notes = []
    if cut := [image.name for image, picture in decoded if picture.is_cut]:
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
        labels=np.array([image.label for image, _ in decoded], np.int64),
        names=tuple(image.name for image, _ in decoded),
        class_names=layout.class_names,
        sha256=tuple(image.sha256 for image, _ in decoded),
        original_sizes=tuple(picture.size for _, picture in decoded),
        source=facts,
        verified=verified,
        parts=_values(image.part for image, _ in decoded),
        groups=_values(image.group for image, _ in decoded),
    )


def _verified(source: Source, decoded: Iterable[_DecodedImage]) -> bool | None:
    """Whether images are the official ones; None where that cannot be."""
    if source.kind not in ("oxford17", "archive"):
        return None
    digests = {image.name: image.sha256 for image, _ in decoded}
    verified = oxford17.is_verified(digests, required=source.kind == "oxford17")
    if not verified:
        logger.warning(
            "archive %s: images differ from the official Flowers-17 ones; going on with them "
            "as your own, marked as unverified",
            source.path,
        )
    return verified


def _depth(images: np.ndarray, decoded: list[_DecodedImage]) -> int | None:
    """Bits of the grey levels in files of 16 bits if they are fewer, by the highest level of all.

    Leaves in the squares of such files, which hold a channel for each of DEPTHS, that of the depth.
    """
    deep = [image.row for image, picture in decoded if picture.highest]
    highest = max((picture.highest for _, picture in decoded), default=0)
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


def _decoded_image(encoded: ImageFile, *, size: int, **options: Any) -> _DecodedImage:
    image, data = encoded._replace(data=b""), encoded.data
    if isinstance(data, UnusableImage):
        return image, Decoded((0, 0), {}, problem=data)
    try:
        return image, squares(data, image.name, [size], depth=None, **options)
    except UnusableImage as error:
        # Its traceback would hold the pixels.
        problem = UnusableImage(error.name, error.kind, error.detail)
        return image, Decoded(stated_size(data), {}, problem=problem)


def _rendered_set(
    size: int, drawn: Mapping[str, int], progress: Progress | None, allocate: Allocate
) -> ImageSet:
    """Rendered flowers; drawn: n_classes, images_per_class and seed."""
    images, labels = rendered.flowers(size=size, **drawn, progress=progress, allocate=allocate)
    class_names = oxford17.CLASS_NAMES[: drawn["n_classes"]]
    indices = range(drawn["images_per_class"])
    return ImageSet(
        images=images,
        labels=labels,
        names=tuple(f"{name}/{index:05d}" for name in class_names for index in indices),
        class_names=class_names,
        sha256=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
        original_sizes=((size, size),) * len(images),
        source={"kind": "rendered", "digest": None, **drawn},
        verified=None,
    )
