"""Near-duplicates: images of the same scene, known or found by perceptual hashing.

A difference hash of 121 bits of each image, upright and mirrored, is compared with the hashes of
every other image and of 36 of its crops. Two images are a pair if at most MAX_DISTANCE bits differ
and the grey thumbnails of the two views that match best correlate by at least MIN_CORRELATION,
which refuses those that are alike only in being flat.

Measured on Flowers-17 at 128 pixels (924,120 pairs; `tests/unit/data/test_duplicates.py` repeats
it): all 70 known pairs are found (recall 1.00) and 20 others (precision 0.78 against the list); a
look at the 20 shows the same scene in each, cropped otherwise, so the list misses them. Among
1,000 CIFAR-10 images (499,500 pairs) none, among 408 rendered flowers none. Images that differ
in little else than a stroke, such as handwritten digits, do give false pairs; for those the setting
`splits.near_duplicates` asks for identical pixels only, or for nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flowers17.data import oxford17

# Above it, crops would be searched for hours: 38 views of each image are compared with all others.
MAX_IMAGES_SEARCHED_IN_CROPS = 20_000
MAX_DISTANCE = 18
MIN_CORRELATION = 0.85
# A larger share of all images is hardly one scene, but rather a chain of images that look alike.
MAX_SCENE_SHARE = 0.1
CROPS = (0.92, 0.84, 0.76, 0.68)

_HASH_SIDE = 11
_GREY_SIDE = 64
_THUMBNAIL_SIDE = 16
_BLOCK = 2**17
_N_ORIENTATIONS = 2


@dataclass(frozen=True, order=True)
class Pair:
    """Two rows, first < second, whose images show the same scene.

    distance: bits of 121 that differ between the hashes of the views that match best; None for
    known pairs.
    """

    first: int
    second: int
    distance: int | None = None


def known_pairs(names: Sequence[str]) -> list[Pair]:
    """Return the known near-duplicates of the verified Flowers-17 images, by row.

    names: of the images, row by row, as in the archive.
    """
    row_of = {name: row for row, name in enumerate(names)}
    pairs = []
    for numbers in oxford17.known_near_duplicates():
        first, second = sorted(row_of[oxford17.image_name(number)] for number in numbers)
        pairs.append(Pair(first, second))
    return sorted(pairs, key=_rows)


def near_duplicate_pairs(
    images: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
    *,
    in_crops: bool = True,
) -> list[Pair]:
    """Return the pairs of images that show the same scene, sorted by rows.

    images: uint8 (n, size, size, 3). Of exact copies, each is paired with the first of them
    only; flat images have no other pairs.
    Finds recompressed, rescaled, brightened and mirrored copies, and `in_crops` cropped ones. Takes
    some 4 ms an image, and the comparison, which grows with the square of n, a few minutes for
    20,000.
    progress: called with images done and images in all.
    """
    originals, copies = _exact_copies(images)
    grey = [_grey(images[row]) for row in originals]
    n_views = _N_ORIENTATIONS + (len(_BOXES) if in_crops else 0)
    codes = np.empty((len(grey), n_views, 2), np.uint64)
    for k, image in enumerate(grey):
        codes[k] = _codes(image, n_views)
        if progress:
            progress(k + 1, len(grey))
    nearest: dict[tuple[int, int], int] = {}
    for first, second, orientation, view, distance in _candidates(codes):
        rows = (min(first, second), max(first, second))
        if distance >= nearest.get(rows, MAX_DISTANCE + 1):
            continue
        correlation = _correlation(_view(grey[first], orientation), _view(grey[second], view))
        if correlation >= MIN_CORRELATION:
            nearest[rows] = distance
    pairs = [Pair(originals[a], originals[b], distance) for (a, b), distance in nearest.items()]
    return sorted(pairs + copies, key=_rows)


def identical_pairs(images: np.ndarray) -> list[Pair]:
    """Return each image of identical pixels with the first of them, sorted by rows.

    images: uint8 (n, size, size, 3).
    """
    return sorted(_exact_copies(images)[1], key=_rows)


def merged_pairs(known: Iterable[Pair], detected: Iterable[Pair]) -> list[Pair]:
    """Return the union of two lists of pairs, sorted by rows; of equal rows, the known pair."""
    merged = {_rows(pair): pair for pair in detected} | {_rows(pair): pair for pair in known}
    return [merged[rows] for rows in sorted(merged)]


def groups(pairs: Iterable[Pair], n_images: int) -> np.ndarray:
    """Return the group of each image, int64 (n_images,): images linked by pairs share a number.

    Groups are numbered in the order of their first image.
    """
    edges = np.array([_rows(pair) for pair in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (n_images, n_images))
    _, component = connected_components(graph, directed=False)
    _, first_row, number = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_row))[number].astype(np.int64)


def oversized_group(group_of: np.ndarray) -> int | None:
    """Return the size of the largest group if that is more than one scene is likely to have.

    group_of: int (n,), the group of each image, as `groups` gives it. A pair is never too large.
    """
    largest = int(np.bincount(group_of).max(initial=0))
    return largest if largest > max(2, MAX_SCENE_SHARE * len(group_of)) else None


def _rows(pair: Pair) -> tuple[int, int]:
    return pair.first, pair.second


def _exact_copies(images: np.ndarray) -> tuple[list[int], list[Pair]]:
    """Return the rows of distinct images that are not flat, and each copy's pair with the first."""
    first_row: dict[bytes, int] = {}
    copies = []
    for row, image in enumerate(images):
        first = first_row.setdefault(hashlib.sha256(image.tobytes()).digest(), row)
        if first != row:
            copies.append(Pair(first, row, 0))
    # All flat images look alike to a hash; without an edge there is no scene to recognise.
    originals = [row for row in first_row.values() if images[row].std(axis=(0, 1)).max() >= 1]
    return originals, copies


def _grey(image: np.ndarray) -> Image.Image:
    size = (_GREY_SIDE, _GREY_SIDE)
    return Image.fromarray(image).convert("L").resize(size, Image.Resampling.BICUBIC)


def _crop_boxes() -> list[tuple[int, int, int, int]]:
    """Return nine crops of each size: corners, edges and the centre."""
    boxes = []
    for scale in CROPS:
        side = round(_GREY_SIDE * scale)
        starts = (0, (_GREY_SIDE - side) // 2, _GREY_SIDE - side)
        boxes += [(left, top, left + side, top + side) for left in starts for top in starts]
    return boxes


_BOXES = _crop_boxes()


def _view(image: Image.Image, index: int) -> Image.Image:
    """Return a view of an image: itself, its mirror image, then its crops."""
    if index == 0:
        return image
    if index == 1:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.crop(_BOXES[index - _N_ORIENTATIONS])


def _codes(image: Image.Image, n_views: int) -> np.ndarray:
    """Return the difference hash of the first views of an image, uint64 (n_views, 2)."""
    views = [_view(image, index) for index in range(n_views)]
    bits = np.array([imagehash.dhash(view, _HASH_SIDE).hash.ravel() for view in views])
    padded = np.zeros((len(views), 16), np.uint8)
    packed = np.packbits(bits, axis=1)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def _candidates(codes: np.ndarray) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (first, second, orientation, view, distance) where few enough bits differ.

    orientation: of the first image, 0 upright or 1 mirrored; view: index among all of the second.
    """
    n_images, n_views, _ = codes.shape
    words = np.ascontiguousarray(codes.transpose(2, 1, 0))
    step = max(1, _BLOCK // max(n_images, 1))
    for view in range(n_views):
        for orientation in range(_N_ORIENTATIONS):
            for start in range(0, n_images, step):
                # Half the bits refuse nearly all pairs, so the rest is compared for few.
                block = words[0, orientation, start : start + step, None]
                half = np.bitwise_count(block ^ words[0, view])
                first, second = np.divmod(np.flatnonzero(half <= MAX_DISTANCE), n_images)
                remainder = np.bitwise_count(
                    words[1, orientation, first + start] ^ words[1, view, second]
                )
                distance = half[first, second].astype(np.int64) + remainder
                near = (distance <= MAX_DISTANCE) & (first + start != second)
                for k in np.flatnonzero(near).tolist():
                    yield int(first[k]) + start, int(second[k]), orientation, view, int(distance[k])


def _correlation(first: Image.Image, second: Image.Image) -> float:
    """Return the correlation of two views' thumbnails; 0 if one is flat."""
    vectors = []
    for view in (first, second):
        small = view.resize((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BOX)
        vector = np.asarray(small, np.float64).ravel()
        vectors.append(vector - vector.mean())
    norm = float(np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1]))
    return float(vectors[0] @ vectors[1]) / norm if norm else 0.0
