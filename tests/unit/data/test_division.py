import numpy as np
import pytest

from flowers17.data.division import _first_groups, _is_reachable, _reachable_sums, division
from flowers17.errors import InvalidInput


def subset_sums(sizes: list[int]) -> set[int]:
    sums = {0}
    for size in sizes:
        sums |= {total + size for total in sums}
    return sums


@pytest.mark.parametrize("sizes", [[], [1], [3], [1, 1, 3], [2, 2, 5], [1, 4, 4, 9], [7, 1, 1]])
def test_reachable_sums_are_all_subset_sums(sizes: list[int]) -> None:
    reachable = _reachable_sums(sizes)
    assert len(reachable) == sum(sizes) + 1
    assert set(np.flatnonzero(reachable).tolist()) == subset_sums(sizes)


@pytest.mark.parametrize("sizes", [[1, 1, 3], [2, 2, 5], [1, 4, 4, 9], [7, 1, 1], [5, 2, 1, 3]])
def test_every_reachable_total_is_made_of_whole_groups(sizes: list[int]) -> None:
    groups = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    for total in subset_sums(sizes):
        chosen = _first_groups(groups, total)
        assert sum(map(len, chosen)) == total
        assert len({int(group[0]) for group in chosen}) == len(chosen)


def test_first_groups_come_first() -> None:
    groups = [np.array([k]) for k in range(5)]
    assert [int(group[0]) for group in _first_groups(groups, 3)] == [0, 1, 2]


@pytest.mark.parametrize("n_single", [0, 1, 3])
@pytest.mark.parametrize("sizes", [[], [2], [3, 5]])
def test_reachability_counts_single_images(sizes: list[int], n_single: int) -> None:
    bits = sum(1 << total for total in subset_sums(sizes))
    expected = subset_sums(sizes + [1] * n_single)
    for total in range(15):
        assert _is_reachable(bits, n_single, total) == (total in expected)


def test_random_groups_stay_whole_and_classes_stay_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    n_divided = 0
    for trial in range(150):
        n = int(rng.integers(8, 60))
        labels = np.concatenate([[0, 0, 1, 1, 2, 2], rng.integers(0, 3, n)])
        groups = rng.integers(0, len(labels), len(labels))
        counts = np.bincount(labels)
        targets = np.clip(counts // 4, 1, counts - 1)
        try:
            is_validation = division(labels, groups, targets, trial, "abc")
        except InvalidInput:
            continue
        n_divided += 1
        assert not set(groups[is_validation]) & set(groups[~is_validation])
        assert (np.bincount(labels[is_validation], minlength=3) >= 1).all()
        assert (np.bincount(labels[~is_validation], minlength=3) >= 1).all()
    assert n_divided > 120


def test_groups_that_span_classes_still_give_exact_numbers() -> None:
    labels = np.repeat(np.arange(4), 20)
    groups = np.arange(80)
    for first, second in ((0, 25), (1, 45), (2, 65), (26, 46), (27, 66), (47, 67)):
        groups[second] = groups[first]
    is_validation = division(labels, groups, np.full(4, 5), 3, "abcd")
    assert np.bincount(labels[is_validation]).tolist() == [5, 5, 5, 5]
    assert not set(groups[is_validation]) & set(groups[~is_validation])
