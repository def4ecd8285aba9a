"""Likeness: images of the same scene, proposed by perceptual hashing and verified by their detail.

A difference hash of 121 bits of each image, upright and mirrored, is compared with the hashes of
every other image and of 36 of its crops. Two images are proposed if at most MAX_DISTANCE bits
differ and the grey thumbnails of the two views that match best correlate by at least
MIN_CORRELATION, which refuses those that are alike only in being flat. Proposals that are among the
N_CLOSEST of both images are verified: their detail, aligned, correlates by at least MIN_DETAIL.
Images that merely look alike share their coarse forms; two photographs of one scene share their
detail too. It correlates by at least 0.75 where the scene is the same (90 pairs of Flowers-17, 27
brain scans, looked at) and by less than 0.7 for 304 of 312 pairs of hands that show the same sign.

Measured on Flowers-17 at 128 pixels (924,120 pairs; `tests/unit/data/test_duplicates.py` repeats
it): all 70 known pairs are found (recall 1.00) and 20 others (precision 0.78 against the list); a
look at the 20 shows the same scene in each, cropped otherwise, so the list misses them. Among
1,000 CIFAR-10 images (499,500 pairs) none, among 408 rendered flowers none. Where images look alike
by nature (handwritten digits, hands, scans of one kind), likeness is no evidence, and
`NearDuplicates.look_alike` tells so.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from flowers17.data.scene_groups import Pair, groups, is_oversized

# Above it, crops would be searched for hours: 38 views of each image are compared with all others.
MAX_IMAGES_SEARCHED_IN_CROPS = 20_000
MAX_DISTANCE = 18
MIN_CORRELATION = 0.85
MIN_DETAIL = 0.7
N_CLOSEST = 8
MAX_PROPOSALS = 20  # an image; where there are more, the search ends, since the images look alike
CROPS = (0.92, 0.84, 0.76, 0.68)

_HASH_SIDE = 11
_GREY_SIDE = 64
_THUMBNAIL_SIDE = 16
_BLOCK = 2**17
_N_ORIENTATIONS = 2
_COARSE = 1.5  # pixels; standard deviation of the blur that detail is left without
_CENTRE = 0.75  # share of a view that is compared, since borders may be cut or bordered otherwise
_SCALES = tuple(np.linspace(0.9, 1.1, 9).tolist())

_Rows = tuple[int, int]
# Distance, both images, orientation of the first, view of the second; by the smaller row first.
_Proposals = dict[_Rows, tuple[int, int, int, int, int]]


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of one scene, sorted by rows, and what they were chosen from.

    n_proposed: pairs that look alike. n_linked: images of the largest group that these would link.
    look_alike: whether images look alike by nature: they were proposed without end, or chained and
    mostly refused, or those that were not refused chain. The test part counts in `pairs` alone.
    """

    pairs: list[Pair]
    n_proposed: int
    n_linked: int
    look_alike: bool


def near_duplicates(
    images: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
    *,
    copies: Iterable[Pair] = (),
    is_test: np.ndarray | None = None,
    in_crops: bool = True,
) -> NearDuplicates:
    """Return the images that show the same scene, but for exact copies.

    images: uint8 (n, size, size, 3). copies: of `identical_pairs`, whose second images are left
    out; flat images are, too. is_test: bool (n,), the test part, which decides on no other pair.
    Finds recompressed, rescaled, brightened and mirrored copies, and `in_crops` cropped ones. Takes
    some 4 ms an image and a proposal, and the comparison, which grows with the square of n, a few
    minutes for 20,000.
    progress: called with images done and images in all.
    """
    tests = np.zeros(len(images), bool) if is_test is None else is_test
    later = {pair.second for pair in copies if tests[pair.first] == tests[pair.second]}
    # All flat images look alike to a hash; without an edge there is no scene to recognise.
    originals = np.array(
        [k for k, image in enumerate(images) if k not in later and image.std((0, 1)).max() >= 1],
        int,
    )
    tests, size = tests[originals], (_GREY_SIDE, _GREY_SIDE)
    grey = [
        Image.fromarray(images[row]).convert("L").resize(size, Image.Resampling.BICUBIC)
        for row in originals
    ]
    n_views = _N_ORIENTATIONS + (len(_BOXES) if in_crops else 0)
    codes = np.empty((len(grey), n_views, 2), np.uint64)
    for k, image in enumerate(grey):
        hashes = [imagehash.dhash(_view(image, v), _HASH_SIDE).hash.ravel() for v in range(n_views)]
        packed = np.packbits(np.array(hashes), axis=1)
        codes[k] = np.pad(packed, ((0, 0), (0, 16 - packed.shape[1]))).view(np.uint64)
        if progress:
            progress(k + 1, len(grey))
    proposals, is_complete = _proposals(grey, codes, tests)
    detail = {rows: _detail(grey, *proposals[rows]) for rows in _closest(proposals, tests)}
    verified = [rows for rows in detail if detail[rows] >= MIN_DETAIL]
    proposed, compared, linked = (
        [rows for rows in pairs if not tests[list(rows)].any()]
        for pairs in (proposals, detail, verified)
    )
    n_pool = int((~tests).sum())
    chain, group = (
        int(np.bincount(groups((Pair(*rows) for rows in pairs), len(grey))).max(initial=0))
        for pairs in (proposed, linked)
    )
    refused = is_oversized(chain, n_pool) and 2 * len(linked) < len(compared)
    return NearDuplicates(
        sorted(
            Pair(int(originals[a]), int(originals[b]), proposals[a, b][0], round(detail[a, b], 3))
            for a, b in verified
        ),
        len(proposed),
        chain,
        look_alike=not is_complete or refused or is_oversized(group, n_pool),
    )


def _proposals(
    grey: list[Image.Image], codes: np.ndarray, tests: np.ndarray
) -> tuple[_Proposals, bool]:
    """Return the pairs whose views look alike, the best views of each, and whether these are all.

    Of pairs with an image of the test part, those beyond MAX_PROPOSALS are passed over.
    """
    nearest: _Proposals = {}
    n_proposed, most = Counter[bool](), MAX_PROPOSALS * len(grey)
    for first, second, orientation, view, distance in _candidates(codes):
        rows = (min(first, second), max(first, second))
        in_test = bool(tests[first] or tests[second])
        if distance >= nearest.get(rows, (MAX_DISTANCE + 1,))[0]:
            continue
        if rows not in nearest and in_test and n_proposed[in_test] >= most:
            continue
        correlation = _correlation(_view(grey[first], orientation), _view(grey[second], view))
        if correlation < MIN_CORRELATION:
            continue
        if rows not in nearest:
            if n_proposed[in_test] >= most:
                return nearest, False
            n_proposed[in_test] += 1
        nearest[rows] = (distance, first, second, orientation, view)
    return nearest, True


def _closest(proposals: _Proposals, tests: np.ndarray) -> Iterator[_Rows]:
    """Yield the proposals that are among the N_CLOSEST of both images, on either side of a test."""
    n_closer = Counter[tuple[int, bool]]()
    for rows in sorted(proposals, key=lambda rows: (proposals[rows][0], rows)):
        ends = [(row, bool(tests[other])) for row, other in (rows, rows[::-1])]
        if all(n_closer[end] < N_CLOSEST for end in ends):
            yield rows
        n_closer.update(ends)


def _detail(
    grey: list[Image.Image], distance: int, first: int, second: int, orientation: int, view: int
) -> float:
    """Return the highest correlation of the first image's centre with any place of the second.

    It starts from the crop of the second that matches best; sides up to a tenth off are tried.
    """
    upper, image, scale = _view(grey[first], orientation), grey[second], 1.0
    if view < _N_ORIENTATIONS:
        image = _view(image, view)
    else:
        scale = _view(image, view).width / _GREY_SIDE
    target = _without_coarse(image)
    energy, best = np.square(target), -1.0
    for factor in _SCALES:
        side = round(_GREY_SIDE * scale * factor)
        part = round(side * _CENTRE)
        if part >= _GREY_SIDE:
            continue
        start = (side - part) // 2
        resized = upper.resize((side, side), Image.Resampling.BICUBIC)
        template = _without_coarse(resized)[start : start + part, start : start + part]
        products = fftconvolve(target, template[::-1, ::-1], "valid")
        norms = fftconvolve(energy, np.ones_like(template), "valid") * np.square(template).sum()
        best = max(best, float((products / np.sqrt(np.maximum(norms, 1e-6))).max()))
    return best


def _without_coarse(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, np.float32)
    return pixels - gaussian_filter(pixels, _COARSE)


# Nine crops of each size: corners, edges and the centre.
_BOXES = [
    (left, top, left + side, top + side)
    for side in (round(_GREY_SIDE * scale) for scale in CROPS)
    for left in (0, (_GREY_SIDE - side) // 2, _GREY_SIDE - side)
    for top in (0, (_GREY_SIDE - side) // 2, _GREY_SIDE - side)
]


def _view(image: Image.Image, index: int) -> Image.Image:
    """Return a view of an image: itself, its mirror image, then its crops."""
    if index == 0:
        return image
    if index == 1:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.crop(_BOXES[index - _N_ORIENTATIONS])


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
