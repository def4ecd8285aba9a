"""Accuracies with intervals, paired tests, and means over repeated splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, norm, t

from flowers17.data.balance import ByClass
from flowers17.errors import InvalidInput

UPPER = 0.975  # quantile of the upper end of each interval, which all are of 95 %


class Interval(NamedTuple):
    """A confidence interval of 95 %, both ends included."""

    low: float
    high: float


class Measured(NamedTuple):
    """A measure's value and its 95 % interval; None where none is known."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class PairedTest:
    """Two classifiers on the same images: who alone is right, how often, and the p-value."""

    n_only_first: int
    n_only_second: int
    p_value: float


@dataclass(frozen=True)
class MeanSpread:
    """Accuracy over k splits: mean, standard deviation, and an interval for the mean.

    spread is None for one split. The interval is None then, and where all splits are alike: as many
    others might differ.
    """

    n_splits: int
    mean: float
    spread: float | None
    interval: Interval | None


def accuracy_interval(n_correct: int, n: int) -> Interval:
    """The Wilson score interval of an accuracy measured on n independent images.

    It stays inside [0, 1] and keeps its coverage near 0 and 1, where the normal one fails. It
    covers the chance in which images were held out; not that in which images were trained on.
    Raises InvalidInput unless 0 <= n_correct <= n and n > 0.
    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209.

    >>> [round(end, 3) for end in accuracy_interval(10, 20)]
    [0.299, 0.701]
    """
    if n <= 0 or not 0 <= n_correct <= n:
        raise InvalidInput(f"expected 0 <= n_correct <= n and n > 0, got {n_correct} of {n}")
    return _wilson(n_correct / n, n)


def balanced_interval(by_class: ByClass) -> Interval:
    """The interval of a balanced accuracy, the mean of the recalls of the classes with images.

    by_class: images classified correctly and images, by class.
    Wilson's interval, of as many images as would leave the mean as uncertain. That follows from
    recalls with 2/k images more of either sort in each of the k classes: a class that is wholly
    right does not count as certain.
    Source of the 2/k: Price and Bonett 2004, Comput. Stat. Data Anal. 45:449.

    >>> [round(end, 3) for end in balanced_interval([(10, 20), (4, 4)])]
    [0.524, 0.891]
    """
    n_correct, n = np.array([counts for counts in by_class if counts[1]]).T
    smoothed = (n_correct + 2 / len(n)) / (n + 4 / len(n))
    variance = float((smoothed * (1 - smoothed) / n).mean()) / len(n)
    mean = float(smoothed.mean())
    return _wilson(float((n_correct / n).mean()), mean * (1 - mean) / variance)


def effective_interval(share: float, variance: float, n: float) -> Interval:
    """Wilson's interval of as many observations as leave a share as uncertain as its variance.

    n: observations where it does not vary, as where it is 0 or 1.
    """
    return _wilson(share, share * (1 - share) / variance if variance > 0 else n)


def clustered_interval(reached: np.ndarray, groups: np.ndarray) -> Interval:
    """The interval of a share of n observations that come in independent groups.

    reached: bool (n,). groups: int (n,), whose observation each is, such as the row of its image.
    Wilson's interval, of as many independent observations as would leave the share p as uncertain:
    p (1 - p) / v (z / t)². v is the variance of p between groups, as of a ratio of two sums over
    groups, linearised; t has one degree of freedom less than there are groups. They are n at most,
    and as many as there are groups where these do not vary, as where p is 0 or 1. Where no group
    has a second observation, the interval is that of `accuracy_interval`.
    Raises InvalidInput unless both are of the same n > 0 observations.
    Source: as Korn and Graubard 1998, Survey Methodology 24:193, do for Clopper and Pearson's
    interval.

    >>> apart, together = np.arange(20), np.arange(20) // 4
    >>> reached = together % 2 == 0
    >>> [round(end, 3) for end in clustered_interval(reached, apart)]
    [0.387, 0.781]
    >>> [round(end, 3) for end in clustered_interval(reached, together)]
    [0.131, 0.937]
    """
    reached, groups = np.asarray(reached, dtype=bool), np.asarray(groups)
    if reached.ndim != 1 or reached.shape != groups.shape or not len(reached):
        raise InvalidInput(
            f"expected observations and the group of each, got shapes {reached.shape} and "
            f"{groups.shape}"
        )
    n, n_reached = len(reached), int(reached.sum())
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups = len(sizes)
    if n_groups == n:
        return accuracy_interval(n_reached, n)
    # In whole numbers, so that groups which do not vary are told from those that hardly do.
    differences = n * np.bincount(group[reached], minlength=n_groups) - n_reached * sizes
    spread = float(np.square(differences.astype(np.float64)).sum())
    n_effective = float(n_groups)
    if spread > 0:
        adjusted = float(norm.ppf(UPPER) / t.ppf(UPPER, n_groups - 1)) ** 2
        n_effective = n_reached * (n - n_reached) * (n_groups - 1) / n_groups * (n**2 / spread)
        n_effective = min(float(n), n_effective * adjusted)
    return _wilson(n_reached / n, n_effective)


def _wilson(share: float, n: float) -> Interval:
    """Wilson's interval of a share of n observations, which need not be a whole number."""
    z = float(norm.ppf(UPPER))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half)


def difference_interval(
    n_correct_a: int, n_a: int, n_correct_b: int, n_b: int, *, phi: float = 0
) -> Interval:
    """The interval of the difference a - b of two accuracies on different images.

    Newcombe's hybrid score interval, from the Wilson intervals of the two: it stays inside [-1, 1].
    The two must be independent, measured on images that don't overlap. phi: else their correlation.
    Raises InvalidInput unless 0 <= n_correct <= n and n > 0 for both.
    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.

    >>> [round(end, 4) for end in difference_interval(56, 70, 48, 80)]
    [0.0524, 0.3339]
    """
    a, b = accuracy_interval(n_correct_a, n_a), accuracy_interval(n_correct_b, n_b)
    share_a, share_b = n_correct_a / n_a, n_correct_b / n_b
    difference, free = share_a - share_b, math.sqrt(max(0.0, 1 - phi**2))
    below, above = b.high - share_b, share_b - b.low
    return Interval(
        difference - math.hypot(share_a - a.low - phi * below, free * below),
        difference + math.hypot(a.high - share_a - phi * above, free * above),
    )


def paired_interval(n_both: int, n_only_a: int, n_only_b: int, n: int) -> Interval:
    """The interval of the difference a - b of two accuracies on the same n images, 95 %.

    n_both, n_only_a, n_only_b: images that both classify correctly, or one of them alone.
    Source: Newcombe 1998, Statistics in Medicine 17:2635, method 10.

    >>> [round(end, 4) for end in paired_interval(36, 12, 2, 50)]
    [0.0569, 0.3404]
    """
    n_a, n_b = n_both + n_only_a, n_both + n_only_b
    covariance: float = n_both * n - n_a * n_b
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)  # corrected for continuity
    phi = covariance / (math.sqrt(n_a * (n - n_a) * n_b * (n - n_b)) or 1)
    return difference_interval(n_a, n, n_b, n, phi=phi)


def within(interval: Interval, value: float) -> bool:
    """Whether a value lies in an interval, its ends included.

    >>> within(Interval(0.8, 0.9), 0.9)
    True
    """
    return interval.low <= value <= interval.high


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> PairedTest:
    """The exact two-sided McNemar test of two classifiers on the same images.

    correct_a, correct_b: bool (n,), whether each image was classified correctly.
    Only images on which one is right and the other wrong count: if the two are equally good,
    each such image falls to either with probability 1/2 (binomial test, no continuity correction).
    Raises InvalidInput if the shapes differ.
    Source: McNemar 1947, Psychometrika 12:153.
    """
    first, second = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if first.shape != second.shape or first.ndim != 1:
        raise InvalidInput(
            f"expected two vectors over the same images, got shapes {first.shape} and "
            f"{second.shape}"
        )
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    n = only_first + only_second
    p_value = float(binomtest(only_first, n, 0.5).pvalue) if n else 1.0
    return PairedTest(only_first, only_second, min(1.0, p_value))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for having made several tests (Holm's step-down method).

    The chance of even one false finding among all tests is then at most the level.
    Source: Holm 1979, Scand. J. Stat. 6:65.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    stepped = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.minimum(stepped, 1.0))
    return list(map(float, adjusted))


def mean_spread(
    values: Sequence[float],
    *,
    n_train: int,
    n_validation: int,
    lowest: float = 0.0,
) -> MeanSpread:
    """Mean, spread and interval of the accuracies over k repeated splits of one data set.

    The splits share most of their training images, and their validation images overlap: the k
    values are not independent, and the plain t-interval, with variance s²/k, shrinks towards
    nothing as k grows although no new image was seen. The corrected resampled variance is used
    instead, s² (1/k + n_validation/n_train); the interval is cut to what values may be.

    values: from `lowest` to 1; n_train, n_validation: images on each side of a split.
    Raises InvalidInput if there is no value or a side is empty.
    Source: Nadeau & Bengio 2003, Machine Learning 52:239.
    """
    k = len(values)
    if k == 0 or n_train <= 0 or n_validation <= 0:
        raise InvalidInput(
            "expected at least one value and images on both sides, got "
            f"{k} values, {n_train} for training and {n_validation} for validation"
        )
    mean = math.fsum(values) / k
    if k == 1:
        return MeanSpread(1, mean, None, None)
    if len(set(values)) == 1:
        return MeanSpread(k, mean, 0.0, None)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (k - 1))
    quantile = float(t.ppf(UPPER, k - 1))
    half = quantile * spread * math.sqrt(1 / k + n_validation / n_train)
    return MeanSpread(k, mean, spread, Interval(max(lowest, mean - half), min(1.0, mean + half)))


mean_difference = partial(mean_spread, lowest=-1.0)  # of differences of two accuracies
