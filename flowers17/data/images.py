"""Images of any source as arrays: decoded once, square, in one deterministic order."""

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np

from flowers17.config import ResizeName
from flowers17.data import oxford17, rendered
from flowers17.data.decoding import squares
from flowers17.data.encoded import EncodedImage, EncodedSet
from flowers17.data.source import Source, encoded_images
from flowers17.errors import InvalidInput

MAX_LISTED = 10
MAX_UNUSABLE = 50  # unusable images, after which the rest is not read
Progress = Callable[[int, int], None]
Allocate = Callable[[tuple[int, ...], type[np.generic]], np.ndarray]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Square images with their labels, names and origin.

    images: uint8 (n, size, size, 3); labels: int64 (n,), indices into `class_names`; by label,
    then name. sha256: of each encoded file, or of the pixels for rendered flowers.
    original_sizes: (width, height) before cropping. source: kind, digest and settings, no path.
    verified: whether the images are the official Flowers-17 ones; None where that cannot be.
    parts, groups: of each image, as the source gives them (see `EncodedImage`); empty if it gives
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
    name: str
    label: int
    sha256: str
    size: tuple[int, int]
    part: str
    group: str
    problem: str | None = None


def image_set(
    source: Source,
    *,
    size: int,
    resize: ResizeName = "crop",
    n_classes: int = 17,
    images_per_class: int = 80,
    seed: int = 17,
    progress: Progress | None = None,
    n_threads: int | None = None,
    allocate: Allocate = np.empty,
) -> ImageSet:
    """Return a source's images as squares of `size` pixels.

    resize: how images become squares, but rendered flowers, which are drawn as such.
    n_classes, images_per_class, seed: of rendered flowers; other sources ignore them.
    progress: called with images done and images in all. n_threads: default: one a core, up to 8.
    allocate: gives the array that the images are written to, of a shape and a type; it is filled
    from the first row to the last, so that one on the disk need not fit into memory.
    Raises InvalidInput if the source or images are not as they should be (up to ten images are
    named), ChecksumMismatch if the source's content has another digest.
    """
    report = progress or _silent
    if source.kind == "rendered":
        return _rendered_set(size, n_classes, images_per_class, seed, report, allocate)
    encoded = encoded_images(source)
    images = allocate((encoded.n_images, size, size, 3), np.uint8)
    decoded: list[_ImageRecord] = []
    unusable: list[_ImageRecord] = []
    n_threads = n_threads or min(8, os.cpu_count() or 1)
    for item, pixels in _decoded_in_order(encoded, size, resize, n_threads):
        if pixels is not None:
            images[len(decoded)] = pixels
        decoded.append(item)
        if item.problem:
            unusable.append(item)
        if len(unusable) == MAX_UNUSABLE:
            _refuse(unusable, len(decoded))
        report(len(decoded), encoded.n_images)
    verified = None
    if source.kind in ("oxford17", "archive"):
        digests = {item.name: item.sha256 for item in decoded}
        verified = oxford17.is_verified(digests, required=source.kind == "oxford17")
        if not verified:
            logger.warning(
                "archive %s: images differ from the official Flowers-17 ones; going on with them "
                "as your own, marked as unverified",
                source.path,
            )
    if unusable:
        _refuse(unusable, len(decoded))
    order = sorted(range(len(decoded)), key=lambda row: (decoded[row].label, decoded[row].name))
    if order != list(range(len(decoded))):  # folders come in order; an archive fits into memory
        images[:] = images[order]
        decoded = [decoded[row] for row in order]
    return ImageSet(
        images=images,
        labels=np.array([item.label for item in decoded], np.int64),
        names=tuple(item.name for item in decoded),
        class_names=encoded.class_names,
        sha256=tuple(item.sha256 for item in decoded),
        original_sizes=tuple(item.size for item in decoded),
        source={"kind": source.kind, "digest": source.digest},
        verified=verified,
        parts=_values(item.part for item in decoded),
        groups=_values(item.group for item in decoded),
    )


def _values(values: Iterable[str]) -> tuple[str, ...]:
    """The values, or none if all are empty."""
    texts = tuple(values)
    return texts if any(texts) else ()


def _silent(n_done: int, total: int) -> None:
    pass


def _decoded_in_order(
    encoded: EncodedSet, size: int, resize: ResizeName, n_threads: int
) -> Iterator[tuple[_ImageRecord, np.ndarray | None]]:
    """Yield images and their pixels in the order given, a bounded number in memory at a time."""
    pending: deque[Future[tuple[_ImageRecord, np.ndarray | None]]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for image in encoded:
            pending.append(pool.submit(_decoded_image, image, size, resize, encoded.max_pixels))
            if len(pending) >= 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _decoded_image(
    encoded: EncodedImage, size: int, resize: ResizeName, max_pixels: int
) -> tuple[_ImageRecord, np.ndarray | None]:
    sha256 = hashlib.sha256(encoded.data).hexdigest()
    record = partial(_ImageRecord, encoded.name, encoded.label, sha256)
    placement = {"part": encoded.part, "group": encoded.group}
    try:
        original, squared = squares(
            encoded.data, encoded.name, [size], resize=resize, max_pixels=max_pixels
        )
    except InvalidInput as problem:
        return record((0, 0), **placement, problem=str(problem)), None
    return record(original, **placement), squared[size]


def _refuse(unusable: list[_ImageRecord], n_read: int) -> NoReturn:
    lines = [f"  {item.problem}" for item in unusable[:MAX_LISTED]]
    more = [f"  … and {len(unusable) - MAX_LISTED} more"] if len(unusable) > MAX_LISTED else []
    raise InvalidInput(
        "\n".join([f"{len(unusable)} of {n_read} images cannot be used:", *lines, *more])
    )


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
