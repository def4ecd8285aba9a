"""Samples of attacked images: even over the classes, independent of other draws."""

import numpy as np

from flowers17.robustness.sampling import attacked_rows, sampled_targets

LABELS = np.repeat(np.arange(4), 10)
HELD_OUT = np.arange(0, 40, 2)


def test_classes_come_in_turn() -> None:
    rows = attacked_rows(LABELS, HELD_OUT, 10, seed=1)
    assert set(rows) <= set(HELD_OUT)
    assert len(set(rows.tolist())) == 10
    assert LABELS[rows].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_a_smaller_sample_starts_a_larger_one_in_any_order_of_rows() -> None:
    larger_sample = attacked_rows(LABELS, HELD_OUT, 100, seed=1)
    assert sorted(larger_sample) == HELD_OUT.tolist()
    assert attacked_rows(LABELS, HELD_OUT[::-1], 7, seed=1).tolist() == larger_sample[:7].tolist()
    assert attacked_rows(LABELS, HELD_OUT, 100, seed=2).tolist() != larger_sample.tolist()


def test_targets_are_other_classes_and_an_image_keeps_its_own() -> None:
    rows = attacked_rows(LABELS, HELD_OUT, 6, seed=1)
    positions, targets = sampled_targets(LABELS, rows, 4, 2, seed=1)
    assert positions.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (targets != LABELS[rows][positions]).all()
    assert (targets[::2] != targets[1::2]).all()
    _, last_targets = sampled_targets(LABELS, rows[5:], 4, 2, seed=1)
    assert last_targets.tolist() == targets[10:].tolist()


def test_there_are_at_most_all_other_classes_as_targets() -> None:
    _, targets = sampled_targets(LABELS, np.array([11]), 4, 99, seed=1)
    assert sorted(targets) == [0, 2, 3]
