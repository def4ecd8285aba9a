"""Metrics against values from textbooks and by hand."""

import math

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.reporting.metrics import (
    Interval,
    accuracy_interval,
    difference_interval,
    holm,
    mcnemar,
    mean_difference,
    mean_spread,
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


def test_higher_level_gives_wider_interval() -> None:
    narrow, wide = accuracy_interval(300, 340, 0.9), accuracy_interval(300, 340, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("n_correct", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(n_correct: int, n: int) -> None:
    with pytest.raises(InvalidInput, match=f"got {n_correct} of {n}"):
        accuracy_interval(n_correct, n)


def test_level_outside_0_to_1_is_refused() -> None:
    with pytest.raises(InvalidInput, match="level"):
        accuracy_interval(1, 3, 95)


def _outcomes(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


def test_mcnemar_counts_only_discordant_images() -> None:
    # 8 against 1: p = 2 (C(9, 0) + C(9, 1)) / 2^9 = 20 / 512
    few = mcnemar(*_outcomes(both=5, only_a=8, only_b=1, neither=2))
    many = mcnemar(*_outcomes(both=500, only_a=8, only_b=1, neither=90))
    assert (few.n_only_first, few.n_only_second) == (8, 1)
    assert few.p_value == pytest.approx(20 / 512)
    assert many == few


def test_mcnemar_without_difference_is_1() -> None:
    assert mcnemar(*_outcomes(9, 0, 0, 3)).p_value == 1.0
    assert mcnemar(*_outcomes(9, 4, 4, 3)).p_value == 1.0


def test_mcnemar_is_symmetric() -> None:
    a, b = _outcomes(3, 6, 2, 1)
    assert mcnemar(a, b).p_value == mcnemar(b, a).p_value


def test_mcnemar_on_different_images_is_refused() -> None:
    with pytest.raises(InvalidInput, match="same images"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_holm_corrects_in_steps_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_mean_spread_uses_the_corrected_resampled_variance() -> None:
    # mean 0.92, s = 0.02; t(0.975, 2) = 4.302653; half = t s sqrt(1/3 + 1/3)
    found = mean_spread([0.90, 0.92, 0.94], n_train=1020, n_validation=340)
    half = 4.302653 * 0.02 * math.sqrt(2 / 3)
    assert (found.n_splits, found.mean) == (3, pytest.approx(0.92))
    assert found.spread == pytest.approx(0.02)
    assert found.interval == pytest.approx((0.92 - half, 0.92 + half))


def test_interval_does_not_vanish_with_ever_more_splits_of_the_same_images() -> None:
    values = [0.90, 0.94] * 5000
    found = mean_spread(values, n_train=1020, n_validation=340)
    assert found.interval is not None
    assert found.interval.high - found.interval.low > 2 * 1.9 * 0.02 * math.sqrt(1 / 3)


def test_one_split_has_no_interval_and_an_interval_stays_within_0_and_1() -> None:
    assert mean_spread([0.9], n_train=3, n_validation=1).interval is None
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
