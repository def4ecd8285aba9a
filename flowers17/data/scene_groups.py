"""Pairs of images of one scene, known or identical, and the groups that pairs form."""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flowers17.data import oxford17

# More images are hardly one scene, but rather a chain of images that look alike.
MAX_SCENE_IMAGES = 8
MAX_SCENE_SHARE = 0.1


@dataclass(frozen=True, order=True)
class Pair:
    """Two rows, first < second, whose images show the same scene.

    distance: bits of 121 that differ between the hashes of the views that match best; detail:
    correlation of their detail, aligned. None where they were not measured.
    """

    first: int
    second: int
    distance: int | None = None
    detail: float | None = None

    @property
    def rows(self) -> list[int]:
        """Both rows."""
        return [self.first, self.second]


def known_pairs(names: Sequence[str]) -> list[Pair]:
    """Return the known near-duplicates of the verified Flowers-17 images, by row.

    names: of the images, row by row, as in the archive.
    """
    row_of = {name: row for row, name in enumerate(names)}
    pairs = []
    for numbers in oxford17.known_near_duplicates():
        first, second = sorted(row_of[oxford17.image_name(number)] for number in numbers)
        pairs.append(Pair(first, second))
    return sorted(pairs)


def identical_pairs(images: np.ndarray, is_test: np.ndarray | None = None) -> list[Pair]:
    """Return each image of identical pixels with the first of them, sorted by rows.

    images: uint8 (n, size, size, 3). is_test: as in `pairs_of_equals`.
    """
    tests = np.zeros(len(images), bool) if is_test is None else is_test
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    return [replace(pair, distance=0) for pair in pairs_of_equals(digests, tests)]


def pairs_of_equals(values: Iterable[Hashable], is_test: np.ndarray) -> list[Pair]:
    """Return each row with the first row of an equal value, sorted by rows.

    is_test: bool (n,); where an equal value is on either side, the first on both. Rows of an empty
    value have no pair.
    """
    first_row: dict[tuple[Hashable, bool], int] = {}
    pairs = []
    for row, (value, in_test) in enumerate(zip(values, is_test.tolist(), strict=True)):
        if value:
            firsts = (first_row.get((value, side)) for side in (False, True))
            pairs += [Pair(first, row) for first in firsts if first is not None]
            first_row.setdefault((value, in_test), row)
    return sorted(pairs)


def merged_pairs(known: Iterable[Pair], detected: Iterable[Pair]) -> list[Pair]:
    """Return the union of two lists of pairs, sorted by rows; of equal rows, the first list's."""
    merged = {tuple(pair.rows): pair for pair in (*detected, *known)}
    return [merged[rows] for rows in sorted(merged)]


def groups(pairs: Iterable[Pair], n_images: int) -> np.ndarray:
    """Return the group of each image, int64 (n_images,): images linked by pairs share a number.

    Groups are numbered in the order of their first image.
    """
    edges = np.array([pair.rows for pair in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (n_images, n_images))
    _, component = connected_components(graph, directed=False)
    _, first_row, number = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_row))[number].astype(np.int64)


def is_oversized(n_linked: int, n_images: int) -> bool:
    """Whether so many of the images are more than one scene is likely to have."""
    return n_linked > max(MAX_SCENE_IMAGES, MAX_SCENE_SHARE * n_images)
