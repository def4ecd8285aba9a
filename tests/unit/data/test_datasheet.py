import json
from typing import Any

import numpy as np

from flowers17.data.datasheet import datasheet


def test_data_sheet_counts_by_hand() -> None:
    items: dict[str, Any] = {
        "class_names": ["rose", "aster"],
        "names": ["a", "b", "c", "d", "e"],
        "sha256": ["1", "1", "2", "3", "4"],
        "original_sizes": [[10, 20], [30, 20], [50, 20], [30, 40], [30, 20]],
        "source": {"kind": "folder", "digest": "dd"},
        "verified": None,
    }
    pairs: list[dict[str, Any]] = [
        {"first": 0, "second": 1, "distance": 0, "method": "perceptual hash"},
        {"first": 1, "second": 3, "distance": 9, "method": "perceptual hash"},
        {"first": 2, "second": 4, "distance": None, "method": "known"},
    ]
    split = {
        "name": "clean",
        "kind": "clean",
        "seed": 4,
        "train": [0, 1, 4],
        "validation": [2, 3],
        "test": [],
    }
    sheet = datasheet(labels=np.array([0, 0, 0, 1, 1]), items=items, pairs=pairs, splits=[split])
    assert json.loads(json.dumps(sheet)) == sheet
    assert sheet["n_images"] == 5
    assert sheet["counts"] == {"rose": 3, "aster": 2}
    assert sheet["original_sizes"] == {
        "width": {"min": 10, "median": 30.0, "max": 50},
        "height": {"min": 20, "median": 20.0, "max": 40},
    }
    assert sheet["duplicates"] == {
        "pairs": 3,
        "by_method": {"known": 1, "perceptual hash": 2},
        "exact_copies": 1,
        "across_classes": 2,
        "divided": {"clean": 2},
    }
    assert sheet["digests"]["source"] == "dd"
    assert sheet["splits"] == [
        {
            "name": "clean",
            "kind": "clean",
            "seed": 4,
            "train": 3,
            "validation": 2,
            "test": 0,
            "validation_per_class": {"min": 1, "max": 1},
        }
    ]


def test_data_sheet_of_images_without_duplicates() -> None:
    items = {
        "class_names": ["a"],
        "names": ["x"],
        "sha256": ["1"],
        "original_sizes": [[4, 4]],
        "source": {"kind": "rendered", "digest": None},
        "verified": None,
    }
    sheet = datasheet(labels=np.array([0]), items=items, pairs=[], splits=[])
    assert sheet["duplicates"]["pairs"] == 0
    assert sheet["duplicates"]["across_classes"] == 0
