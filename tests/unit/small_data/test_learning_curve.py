"""Growing parts of a split, and the power law with its interval, recomputed in other ways."""

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.small_data.learning_curve import PowerLaw, nested_parts, power_law, projection

SIZES = np.array([50, 100, 200, 400, 800.0])


def test_parts_are_nested_stratified_and_keep_groups_together() -> None:
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    groups = np.arange(64) // 2  # pairs of near-duplicates
    train = np.flatnonzero(np.arange(64) % 8 < 6)
    parts = nested_parts(labels, groups, train, [0.5, 0.1, 1.0], seed=3)
    smallest, middle, largest = (set(part.tolist()) for part in parts)
    assert smallest < middle < largest == set(train.tolist())
    for part, share in zip(parts, (0.1, 0.5, 1.0), strict=True):
        wanted = np.maximum(1, np.round(share * np.bincount(labels[train])))
        surplus = np.bincount(labels[part], minlength=3) - wanted
        assert ((surplus >= 0) & (surplus <= 1)).all()  # a pair may bring one more
        for group in np.unique(groups[part]):
            assert set(train[groups[train] == group]) <= set(part)
    again = nested_parts(labels, groups, train, [0.5], seed=3)
    assert np.array_equal(again[0], parts[1])


def test_power_law_finds_the_one_that_points_were_drawn_from() -> None:
    truth = PowerLaw(0.95, 0.12, 0.6, SIZES.max())
    law = power_law(SIZES, truth.accuracy(SIZES))
    assert law.accuracy(1600) == pytest.approx(truth.accuracy(1600), abs=1e-5)
    assert truth.accuracy(1600) == pytest.approx(0.95 - 0.12 * 2**-0.6)


def test_a_curve_that_falls_has_no_positive_gain() -> None:
    falling = np.array([[0.9, 0.89, 0.87, 0.86, 0.85]] * 4)
    end = projection(SIZES, falling, held_out_ratio=0.25, seed=1, n_resamples=20)
    assert end.gain < 0
    assert end.gain_interval
    assert end.gain_interval[1] < 0


def ends_by_grid(curves: np.ndarray) -> np.ndarray:
    """Accuracies at twice the images by power laws of least squares: (k,) of curves (k, m).

    By another way than `power_law`: of each exponent on a grid, the straight line through the
    points of n^-c by the normal equations, with its limit at 1 where it would be above; the best.
    """
    best, ends = np.full(len(curves), np.inf), np.empty(len(curves))
    for c in np.geomspace(0.02, 2, 400):
        x = (SIZES / SIZES.max()) ** -c
        slope = ((curves - curves.mean(axis=1, keepdims=True)) @ (x - x.mean())) / (
            (x - x.mean()) ** 2
        ).sum()
        limit = curves.mean(axis=1) - slope * x.mean()
        above = limit > 1
        slope[above], limit[above] = ((curves[above] - 1) @ x) / (x @ x), 1
        errors = ((curves - limit[:, None] - slope[:, None] * x) ** 2).sum(axis=1)
        better = errors < best
        best[better], ends[better] = errors[better], (limit + slope * 2.0**-c)[better]
    return ends


@pytest.mark.parametrize("seed", [5, 6])
def test_interval_is_that_of_a_bootstrap_by_another_fit(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = PowerLaw(0.95, 0.12, 0.6, SIZES.max()).accuracy(SIZES)
    accuracies = truth + random.normal(0, 0.01, (8, 5))
    end = projection(SIZES, accuracies, held_out_ratio=0.25, seed=1, n_resamples=300)
    assert end.accuracy == pytest.approx(ends_by_grid(accuracies.mean(axis=0)[None])[0], abs=1e-3)
    samples = accuracies[random.integers(8, size=(2000, 8))].mean(axis=1)
    quantiles = np.quantile(ends_by_grid(samples), [0.025, 0.975])
    low, high = end.accuracy + np.sqrt(1 + 8 * 0.25) * (quantiles - end.accuracy)
    assert end.interval == pytest.approx((low, high), abs=0.01)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    law, random = PowerLaw(0.95, 0.12, 0.6, SIZES.max()), np.random.default_rng(11)
    n_covered = 0
    for trial in range(40):
        # What a split adds to all its points, and what each adds by itself.
        noise = random.normal(0, 0.006, (8, 1)) + random.normal(0, 0.006, (8, 5))
        end = projection(
            SIZES, law.accuracy(SIZES) + noise, held_out_ratio=0.3, seed=trial, n_resamples=40
        )
        low, high = end.interval or (0, 0)
        n_covered += low <= law.accuracy(1600) <= high
    assert n_covered >= 36


def test_a_single_split_has_no_interval_and_three_sizes_no_law() -> None:
    end = projection(SIZES, np.array([[0.6, 0.7, 0.75, 0.8, 0.82]]), held_out_ratio=0.3, seed=1)
    assert (end.interval, end.gain_interval) == (None, None)
    with pytest.raises(InvalidInput, match="at least 4 sizes"):
        power_law(SIZES[:3], np.array([0.5, 0.6, 0.7]))
