"""Poisoning changes exactly the share asked for, the same by seed, and is counted by hand."""

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.poisoning import (
    patched,
    predicted_counts,
    with_backdoor,
    with_flipped_labels,
)

N_CLASSES = 4
LABELS = np.repeat(np.arange(N_CLASSES), 15)
IMAGES = np.random.default_rng(1).integers(1, 255, (60, 9, 10, 3), dtype=np.uint8)
ROWS = np.flatnonzero(np.arange(60) % 15 < 10)  # ten of each class are trained on


@pytest.mark.parametrize(("share", "n"), [(0.0, 0), (0.1, 4), (0.5, 20), (1.0, 40)])
def test_a_share_of_the_labels_is_flipped_evenly_and_nothing_else(share: float, n: int) -> None:
    poisoned = with_flipped_labels(IMAGES, LABELS, ROWS, share=share, n_classes=N_CLASSES, seed=3)
    differing = np.flatnonzero(poisoned.labels != LABELS)
    assert differing.tolist() == poisoned.rows.tolist()
    assert len(differing) == n
    assert set(differing) <= set(ROWS)
    assert np.bincount(LABELS[differing], minlength=N_CLASSES).tolist() == [n / 4] * 4
    assert poisoned.labels.min() >= 0
    assert poisoned.labels.max() < N_CLASSES
    assert poisoned.images is IMAGES


def test_flipped_labels_are_drawn_from_all_other_classes() -> None:
    labels = np.zeros(3000, np.int64)
    images = np.zeros((3000, 2, 2, 3), np.uint8)
    poisoned = with_flipped_labels(images, labels, np.arange(3000), share=1.0, n_classes=4, seed=1)
    counts = np.bincount(poisoned.labels, minlength=4)
    assert counts[0] == 0
    assert (np.abs(counts[1:] - 1000) < 5 * np.sqrt(3000 * 2 / 9)).all()


def test_a_smaller_share_of_a_seed_is_part_of_a_larger_one_and_another_seed_differs() -> None:
    def poisoning(share: float, seed: int = 3) -> tuple[set[int], np.ndarray]:
        poisoned = with_flipped_labels(IMAGES, LABELS, ROWS, share=share, n_classes=4, seed=seed)
        return set(poisoned.rows.tolist()), poisoned.labels

    (fewer, labels), (further, further_labels) = poisoning(0.2), poisoning(0.6)
    assert fewer < further
    assert labels[sorted(fewer)].tolist() == further_labels[sorted(fewer)].tolist()
    assert poisoning(0.2)[1].tolist() == labels.tolist()
    assert poisoning(0.2, 4)[0] != fewer


def test_a_backdoor_marks_a_share_of_the_other_classes_and_gives_them_the_target() -> None:
    poisoned = with_backdoor(
        IMAGES, LABELS, ROWS, share=0.3, target=2, size=4, n_classes=N_CLASSES, seed=3
    )
    assert len(poisoned.rows) == 12
    assert np.bincount(LABELS[poisoned.rows], minlength=4).tolist() == [4, 4, 0, 4]
    changed = (poisoned.images != IMAGES).any(axis=(1, 2, 3))
    assert np.flatnonzero(changed).tolist() == poisoned.rows.tolist()
    assert (poisoned.labels[poisoned.rows] == 2).all()
    rest = np.setdiff1d(np.arange(60), poisoned.rows)
    assert poisoned.labels[rest].tolist() == LABELS[rest].tolist()
    assert poisoned.images[poisoned.rows].tobytes() == patched(IMAGES[poisoned.rows], 4).tobytes()


def test_a_patch_is_a_chequered_square_in_the_corner() -> None:
    poisoned = patched(IMAGES, 4)
    white, black = [255, 255], [0, 0]
    by_hand = [white + black, white + black, black + white, black + white]
    assert poisoned[7, -4:, -4:, 1].tolist() == by_hand
    assert (poisoned[:, :-4] == IMAGES[:, :-4]).all()
    assert (poisoned[:, :, :-4] == IMAGES[:, :, :-4]).all()
    assert IMAGES[7, -1, -1].tolist() != [255] * 3  # the images given stay as they are


def test_measures_are_those_counted_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 2, 2, 1, 2, 0])
    right = {"n": 6, "n_right": 3}
    assert predicted_counts(predicted, labels, None, 2) == right
    for with_patch, n_opened in ((predicted, 2), (np.full(6, 2), 4)):
        counts = predicted_counts(predicted, labels, with_patch, 2)
        assert counts == right | {"n_others": 4, "n_opened": n_opened}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.5}, "share: expected a number from 0 to 1, got 1.5"),
        ({"share": float("nan")}, "got nan"),
        ({"share": 0.9}, "share: expected at most 0.75"),
        ({"target": 4}, "target: expected 0 to 3"),
        ({"target": -1}, "got -1"),
        ({"size": 9}, "a patch smaller than they are, got uint8 .* and 9 pixels"),
        ({"size": 0}, "and 0 pixels"),
        ({"labels": LABELS[:-1]}, r"labels: expected int \(60,\)"),
        ({"labels": LABELS + 1}, "labels: expected 0 to 3"),
        ({"rows": np.array([60])}, "rows: expected 0 to 59"),
        ({"images": IMAGES / 255}, "images: expected uint8"),
    ],
)
def test_poisoning_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"share": 0.1, "target": 1, "size": 3, "n_classes": 4, "seed": 0}
    arguments |= {"images": IMAGES, "labels": LABELS, "rows": ROWS, **changes}
    with pytest.raises(InvalidInput, match=message):
        with_backdoor(**arguments)  # type: ignore[arg-type]
