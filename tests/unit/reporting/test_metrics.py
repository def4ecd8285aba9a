"""Metrics against values from textbooks and by hand."""

import math

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.reporting.metrics import (
    Interval,
    MeanSpread,
    accuracy_interval,
    clustered_interval,
    difference_interval,
    holm,
    mcnemar,
    mean_difference,
    mean_spread,
    paired_interval,
    within,
)


@pytest.mark.parametrize(
    ("n_correct", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3 (score, uncorrected)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_newcombes(n_correct: int, n: int, low: float, high: float) -> None:
    interval = accuracy_interval(n_correct, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilson_interval_of_failures_mirrors_that_of_successes() -> None:
    low, high = accuracy_interval(321, 340)
    assert accuracy_interval(19, 340) == pytest.approx((1 - high, 1 - low))


def test_wilson_interval_ends_at_exactly_0_and_1() -> None:
    assert accuracy_interval(0, 7).low == 0.0
    assert accuracy_interval(7, 7).high == 1.0


@pytest.mark.parametrize(("n_correct", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(n_correct: int, n: int) -> None:
    with pytest.raises(InvalidInput, match=f"got {n_correct} of {n}"):
        accuracy_interval(n_correct, n)


def test_an_interval_of_groups_of_one_is_the_plain_one() -> None:
    reached, rows = np.arange(40) % 3 == 0, np.random.default_rng(1).permutation(40)
    assert clustered_interval(reached, rows) == accuracy_interval(14, 40)
    assert clustered_interval(~reached & False, rows) == accuracy_interval(0, 40)


def test_the_interval_of_groups_is_that_of_the_observations_worked_out_by_hand() -> None:
    # Shares 2/2, 0/2, 1/2 and 1/4 of p = 0.4: deviations y - pm of 1.2, -0.8, 0.2 and -0.6.
    reached = np.array([1, 1, 0, 0, 1, 0, 1, 0, 0, 0], bool)
    variance = 4 / 3 * (1.44 + 0.64 + 0.04 + 0.36) / 10**2
    n = 0.4 * 0.6 / variance * (1.959964 / 3.182446) ** 2
    centre, z2 = 0.4, 1.959964**2
    middle = (centre + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (0.24 / n + z2 / (4 * n**2))) / (1 + z2 / n)
    interval = clustered_interval(reached, np.array([5, 5, 3, 3, 8, 8, 1, 1, 1, 1]))
    assert interval == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_groups_that_agree_in_all_they_hold_are_worth_less_than_one_observation_each() -> None:
    rows = np.repeat(np.arange(30), 16)
    low, high = clustered_interval(rows < 12, rows)
    plain = accuracy_interval(12, 30)
    assert low < plain.low < plain.high < high


@pytest.mark.parametrize(
    ("reached", "n_reached"),
    [([0, 0, 0, 0, 0, 0], 0), ([1, 1, 1, 1, 1, 1], 3)],
)
def test_where_all_or_none_are_reached_groups_are_counted(
    reached: list[int], n_reached: int
) -> None:
    interval = clustered_interval(np.array(reached, bool), np.array([0, 0, 1, 1, 2, 2]))
    assert interval == accuracy_interval(n_reached, 3)


def test_groups_of_one_share_are_counted_and_a_single_one_is_one_observation() -> None:
    halves = np.array([1, 0, 0, 1, 1, 0, 0, 1], bool)
    assert clustered_interval(halves, np.repeat(np.arange(4), 2)) == accuracy_interval(2, 4)
    low, high = clustered_interval(halves, np.zeros(8, int))
    assert (low, high) == pytest.approx((0.0546, 0.9454), abs=1e-4)


def test_groups_that_vary_less_than_chance_are_not_worth_more_than_all_observations() -> None:
    """Of 40 groups 39 have 2 of 4, the last has 1 of 4."""
    reached, rows = np.tile([True, True, False, False], 40), np.repeat(np.arange(40), 4)
    reached[-4] = False
    assert clustered_interval(reached, rows) == accuracy_interval(79, 160)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 2), (4, 0.5)])
def test_the_interval_of_groups_covers_what_the_plain_one_does_not(a: float, b: float) -> None:
    """102 images, towards 16 targets each: some are easily misled, others are not."""
    random, share, rows = np.random.default_rng(17), a / (a + b), np.repeat(np.arange(102), 16)
    n_drawn, covered, plain = 1000, 0, 0
    for _ in range(n_drawn):
        reached = random.random(len(rows)) < random.beta(a, b, 102)[rows]
        covered += within(clustered_interval(reached, rows), share)
        plain += within(accuracy_interval(int(reached.sum()), len(rows)), share)
    assert covered / n_drawn >= 0.92
    assert plain / n_drawn < 0.75


@pytest.mark.parametrize("groups", [np.zeros(2, int), np.zeros((3, 1), int)])
def test_observations_without_a_group_each_are_refused(groups: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="expected observations and the group of each"):
        clustered_interval(np.ones(3, bool), groups)
    with pytest.raises(InvalidInput, match="expected observations"):
        clustered_interval(np.ones(0, bool), np.ones(0, int))


def _outcomes(n_both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * n_both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * n_both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


def test_mcnemar_counts_only_discordant_images() -> None:
    # 8 against 1: p = 2 (C(9, 0) + C(9, 1)) / 2^9 = 20 / 512
    small = mcnemar(*_outcomes(n_both=5, only_a=8, only_b=1, neither=2))
    large = mcnemar(*_outcomes(n_both=500, only_a=8, only_b=1, neither=90))
    assert (small.n_only_first, small.n_only_second) == (8, 1)
    assert small.p_value == pytest.approx(20 / 512)
    assert large == small


def test_mcnemar_without_difference_is_1() -> None:
    assert mcnemar(*_outcomes(9, 0, 0, 3)).p_value == 1.0
    assert mcnemar(*_outcomes(9, 4, 4, 3)).p_value == 1.0


def test_mcnemar_is_symmetric() -> None:
    a, b = _outcomes(3, 6, 2, 1)
    assert mcnemar(a, b).p_value == mcnemar(b, a).p_value


class TestPairedInterval:
    def test_is_narrower_than_of_independent_images_where_answers_agree(self) -> None:
        low, high = paired_interval(280, 25, 10, 340)
        wide = difference_interval(305, 340, 290, 340)
        assert wide.low < low < 15 / 340 < high < wide.high
        assert low > 0 > wide.low

    def test_changes_sign_with_the_order(self) -> None:
        low, high = paired_interval(280, 25, 10, 340)
        assert paired_interval(280, 10, 25, 340) == pytest.approx((-high, -low))

    @pytest.mark.parametrize("counts", [(12, 0, 0), (0, 0, 0), (0, 12, 0), (0, 6, 6), (6, 6, 0)])
    def test_holds_the_difference_and_stays_inside_its_range(
        self, counts: tuple[int, int, int]
    ) -> None:
        low, high = paired_interval(*counts, 12)
        assert -1 <= low <= (counts[1] - counts[2]) / 12 <= high <= 1
        assert low < high

    def test_covers_the_difference_as_often_as_it_says(self) -> None:
        shares, n, n_drawn = np.array([0.8, 0.08, 0.03, 0.09]), 340, 500
        draws = np.random.default_rng(0).multinomial(n, shares, n_drawn)
        covered = sum(within(paired_interval(*map(int, draw[:3]), n), 0.05) for draw in draws)
        assert 0.93 <= covered / n_drawn <= 0.98


def test_mcnemar_on_different_images_is_refused() -> None:
    with pytest.raises(InvalidInput, match="same images"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_holm_corrects_in_steps_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_mean_spread_uses_the_corrected_resampled_variance() -> None:
    # mean 0.92, s = 0.02; t(0.975, 2) = 4.302653; half = t s sqrt(1/3 + 1/3)
    spread = mean_spread([0.90, 0.92, 0.94], n_train=1020, n_validation=340)
    half = 4.302653 * 0.02 * math.sqrt(2 / 3)
    assert (spread.n_splits, spread.mean) == (3, pytest.approx(0.92))
    assert spread.spread == pytest.approx(0.02)
    assert spread.interval == pytest.approx((0.92 - half, 0.92 + half))


def test_interval_does_not_vanish_with_ever_more_splits_of_the_same_images() -> None:
    values = [0.90, 0.94] * 5000
    spread = mean_spread(values, n_train=1020, n_validation=340)
    assert spread.interval is not None
    assert spread.interval.high - spread.interval.low > 2 * 1.9 * 0.02 * math.sqrt(1 / 3)


def test_one_split_or_equal_ones_have_no_interval_and_an_interval_stays_within_0_and_1() -> None:
    assert mean_spread([0.9], n_train=3, n_validation=1).interval is None
    assert mean_spread([1.0] * 8, n_train=3, n_validation=1) == MeanSpread(8, 1.0, 0.0, None)
    near_one = mean_spread([0.96, 1.0], n_train=3, n_validation=1).interval
    assert near_one is not None
    assert near_one.high == 1.0


def test_mean_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 values"):
        mean_spread([], n_train=3, n_validation=1)


def test_within_includes_the_ends() -> None:
    interval = Interval(0.25, 0.5)
    assert [within(interval, value) for value in (0.24, 0.25, 0.5, 0.51)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10 (hybrid score)
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_interval_of_a_difference_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    interval = difference_interval(*first, *second)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_interval_of_a_difference_turned_round_is_its_mirror_image() -> None:
    low, high = difference_interval(300, 1020, 200, 340)
    assert difference_interval(200, 340, 300, 1020) == pytest.approx((-high, -low))


def test_difference_of_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InvalidInput, match="got 5 of 0"):
        difference_interval(3, 4, 5, 0)


def test_mean_difference_may_be_negative_where_a_mean_accuracy_may_not() -> None:
    values, sizes = [-0.02, 0.01, -0.05], {"n_train": 1020, "n_validation": 340}
    over = mean_difference(values, **sizes)
    shifted = mean_spread([value + 0.5 for value in values], **sizes)
    assert over.interval is not None
    assert shifted.interval is not None
    assert over.mean == pytest.approx(-0.02)
    assert over.interval == pytest.approx([end - 0.5 for end in shifted.interval])
    assert over.interval.low < -0.05
