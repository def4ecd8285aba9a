"""The data sheet of a dataset: counts, sizes, duplicates, digests and splits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.digests import sha256_of

Json = Mapping[str, Any]


def datasheet(
    *, labels: np.ndarray, items: Json, pairs: Sequence[Json], splits: Sequence[Json]
) -> dict[str, Any]:
    """Return counts, sizes, duplicates, digests and splits as plain JSON.

    labels: int (n,). items: of the set, as `ImageSet.items` gives them. pairs: each with `first`
    and `second` rows, `distance` and `method`. splits: each as `Split.to_json` gives it.
    """
    counts = np.bincount(labels, minlength=len(items["class_names"]))
    sizes = np.array(items["original_sizes"], np.int64)
    return {
        "n_images": len(labels),
        "n_classes": len(items["class_names"]),
        "counts": dict(zip(items["class_names"], counts.tolist(), strict=True)),
        "original_sizes": {
            name: {"min": min(values), "median": float(np.median(values)), "max": max(values)}
            for name, values in zip(("width", "height"), sizes.T.tolist(), strict=True)
        },
        "duplicates": _duplicates(labels, items["sha256"], pairs, splits),
        "digests": {
            "images": sha256_of(dict(zip(items["names"], items["sha256"], strict=True))),
            "source": items["source"].get("digest"),
        },
        "source": dict(items["source"]),
        "verified": items["verified"],
        "splits": [_overview(split, labels, items["class_names"]) for split in splits],
    }


def _duplicates(
    labels: np.ndarray, sha256: Sequence[str], pairs: Sequence[Json], splits: Sequence[Json]
) -> dict[str, Any]:
    """Return the number of pairs, in all and by kind, and of those between a split's sides."""
    rows = np.array([(pair["first"], pair["second"]) for pair in pairs], np.int64).reshape(-1, 2)
    divided = {}
    for split in splits:
        side = np.zeros(len(labels), int)  # of images of a test part 0
        side[split["train"]], side[split["validation"]] = 1, 2
        divided[split["name"]] = int((side[rows[:, 0]] * side[rows[:, 1]] == 2).sum())
    methods = [pair["method"] for pair in pairs]
    return {
        "pairs": len(pairs),
        "by_method": {method: methods.count(method) for method in sorted(set(methods))},
        "exact_copies": len(sha256) - len(set(sha256)),
        "across_classes": int((labels[rows[:, 0]] != labels[rows[:, 1]]).sum()),
        "divided": divided,
    }


def _overview(split: Json, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(labels[np.array(split["validation"], int)], minlength=len(class_names))
    return {
        "name": split["name"],
        "kind": split["kind"],
        "seed": split["seed"],
        "train": len(split["train"]),
        "validation": len(split["validation"]),
        "test": len(split["test"]),
        "validation_per_class": {"min": int(counts.min()), "max": int(counts.max())},
    }
