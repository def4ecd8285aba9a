"""Splits of images into training and validation: the report's, the same kept clean, and more.

A split is made class by class: the class's images in an order drawn from the seed, the first of
them to validation. A clean split walks the same order but moves whole groups of images that must
stay together, so that it equals the report's where there are none. A given test part is the `test`
of every split; nothing else is drawn from it. A given validation part is the report's, and comes
first in the order of the clean split.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flowers17.data import oxford17
from flowers17.data.division import division
from flowers17.data.matlab import numeric_arrays
from flowers17.data.names import PARTS, listed
from flowers17.errors import InvalidInput
from flowers17.seeds import derived_seed

SplitKind = Literal["report", "clean", "official", "repeated"]
MAX_SPLITS_BYTES = 2**20  # of the file, and once more of what it holds


@dataclass(frozen=True)
class Split:
    """Rows that train, validate and (of a given test part, or an official split) test.

    train, validation, test: int64, sorted, disjoint. seed: of the draw; None if it was not drawn.
    """

    name: str
    kind: SplitKind
    seed: int | None
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def to_json(self) -> dict[str, Any]:
        """Return the split as plain JSON."""
        return vars(self) | {part: getattr(self, part).tolist() for part in PARTS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Split":
        """Return the split that `to_json` wrote."""
        return cls(**{**value, **{part: np.array(value[part], np.int64) for part in PARTS}})


def report_split(labels: np.ndarray, **rest: Any) -> Split:
    """Return a stratified split: the report's 60/20 a class for 80 images and 0.25.

    rest: arguments of `clean_split`, which it is where every image is a group of its own.
    """
    return clean_split(
        labels, np.arange(len(labels)), **{"name": "report", "kind": "report"} | rest
    )


def clean_split(
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    validation_fraction: float,
    seed: int,
    name: str = "clean",
    kind: SplitKind = "clean",
    class_names: Sequence[str] | None = None,
    validation_part: np.ndarray | None = None,
) -> Split:
    """Return a stratified split with every group on one side.

    labels: int (n,); groups: int (n,), equal for images that must stay together. The number of
    validation images of a class is exact if its groups allow it, else as near as they do.
    validation_fraction: of each class, in (0, 1), rounded to whole images, at least one on each
    side. class_names: for messages. validation_part: bool (n,), given instead of drawn; it is kept
    as far as the groups allow.
    Raises InvalidInput if a class has fewer than two images, none in the validation part or none
    outside it, or if the groups leave it without images on one side.
    """
    if not 0 < validation_fraction < 1:
        raise InvalidInput(f"validation_fraction: expected in (0, 1), got {validation_fraction}")
    if labels.ndim != 1 or labels.shape != groups.shape or not len(labels):
        raise InvalidInput(
            f"expected labels and groups of the same images, got {labels.shape} labels and "
            f"{groups.shape} groups"
        )
    numbers, indices = np.unique(labels, return_inverse=True)
    titles = [class_title(label, class_names) for label in numbers.tolist()]
    n_images = np.bincount(indices)
    if n_images.min() < 2:
        raise InvalidInput(
            f"class {titles[int(n_images.argmin())]}: expected at least 2 images (one to "
            "train on, one to validate), got 1; add images or leave the class out"
        )
    n_held = np.floor(n_images * validation_fraction + 0.5)
    targets = np.clip(n_held, 1, n_images - 1).astype(int)
    if validation_part is not None:
        targets = np.bincount(indices[validation_part], minlength=len(numbers))
        for k in np.flatnonzero((targets == 0) | (targets == n_images))[:1]:
            raise InvalidInput(
                f"class {titles[k]}: expected images in the given validation part and outside it, "
                f"got {targets[k]} of {n_images[k]} in it; add some, or give no validation part: "
                "it is then drawn"
            )
    is_validation = division(indices, groups, targets, seed, titles, validation_part)
    return Split(name, kind, seed, np.flatnonzero(~is_validation), np.flatnonzero(is_validation))


def official_splits(path: Path, names: Sequence[str]) -> list[Split]:
    """Return the three official splits of Flowers-17: 40 train, 20 validate, 20 test a class.

    path: `datasplits.mat`, with image numbers 1..1360 as trn1, val1, tst1, … tst3.
    names: of the images, row by row, as in the archive.
    Raises InvalidInput if the file does not hold three divisions of all images.
    """
    variables = [f"{part}{k}" for k in (1, 2, 3) for part in ("trn", "val", "tst")]
    row_of = {name: row for row, name in enumerate(names)}
    every_number = range(1, oxford17.N_IMAGES + 1)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SPLITS_BYTES + 1)
        if len(content) > MAX_SPLITS_BYTES:
            raise ValueError(f"it has more than {MAX_SPLITS_BYTES:,} bytes")
        arrays = numeric_arrays(content, variables, max_bytes=MAX_SPLITS_BYTES)
        if absent := [name for name in variables if name not in arrays]:
            raise ValueError(f"it has no {absent[0]}")
    except (OSError, ValueError, zlib.error) as problem:
        raise InvalidInput(
            f"{path}: expected a MATLAB file with trn1, val1, tst1 … tst3, got one that cannot be "
            f"read ({problem}); fetch {oxford17.SPLITS_URL} again or remove it"
        ) from problem
    official_names = [oxford17.image_name(number) for number in every_number]
    if odd := sorted(row_of.keys() ^ {*official_names}):
        raise InvalidInput(
            f"{path}: expected beside it each name of a Flowers-17 image, jpg/image_0001.jpg … "
            f"jpg/image_1360.jpg, got others or not all: {listed(odd)}; remove the file"
        )
    row_at = np.array([row_of[name] for name in official_names])
    splits = []
    for k in (1, 2, 3):
        parts = [arrays[f"{part}{k}"] for part in ("trn", "val", "tst")]
        joined = np.sort(np.concatenate(parts))
        if not np.array_equal(joined, every_number) or not all(map(len, parts)):
            raise InvalidInput(
                f"{path}: expected trn{k}, val{k} and tst{k} to hold the image numbers "
                f"1..{oxford17.N_IMAGES} once each, got {len(joined)} numbers, "
                f"{len(np.unique(joined))} of them distinct; fetch {oxford17.SPLITS_URL} again"
            )
        rows = [np.sort(row_at[part.astype(int) - 1]) for part in parts]
        splits.append(Split(f"official-{k}", "official", None, *rows))
    return splits


def study_splits(
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    validation_fraction: float,
    n_repeats: int,
    seed: int,
    parts: Sequence[str] = (),
    official: Sequence[Split] | None = None,
    class_names: Sequence[str] | None = None,
) -> list[Split]:
    """Return a study's splits: report, clean, the official ones if given, and clean repeats.

    The clean split has the report's seed; repeats, `repeat-01` and on, have their own.
    parts: of each image, `test` and `validation` where these are given, else empty.
    Raises InvalidInput if a class is missing where it is needed.
    """
    part_of = np.array(parts or [""] * len(labels))
    pool, test = np.flatnonzero(part_of != "test"), np.flatnonzero(part_of == "test")
    for absent in np.setdiff1d(labels, labels[pool])[:1].tolist():
        raise InvalidInput(
            f"class {class_title(absent, class_names)}: expected images to train on, got those of "
            "the test part alone; add images or leave the class out"
        )
    common: dict[str, Any] = {
        "validation_fraction": validation_fraction,
        "class_names": class_names,
    }
    first = common | {"seed": derived_seed(seed, "split", "report")}
    if "validation" in parts:
        first["validation_part"] = part_of[pool] == "validation"
    drawn = [report_split(labels[pool], **first), clean_split(labels[pool], groups[pool], **first)]
    for k in range(1, n_repeats + 1):
        own = common | {"seed": derived_seed(seed, "split", "repeat", k), "kind": "repeated"}
        drawn.append(clean_split(labels[pool], groups[pool], name=f"repeat-{k:02d}", **own))
    report, clean, *repeats = (
        replace(split, train=pool[split.train], validation=pool[split.validation], test=test)
        for split in drawn
    )
    return [report, clean, *(official or ()), *repeats]


def class_title(label: int, class_names: Sequence[str] | None) -> str:
    """Return a class's name, or its number if classes have no names."""
    return class_names[label] if class_names else f"number {label}"
