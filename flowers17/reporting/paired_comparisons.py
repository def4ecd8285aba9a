"""Paired comparisons: two classifiers on the same images, and whether chance explains the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Record
from flowers17.reporting.metrics import (
    Interval,
    MeanSpread,
    Measured,
    PairedTest,
    holm,
    mcnemar,
    mean_difference,
    paired_interval,
)
from flowers17.reporting.records import over_repeats
from flowers17.reporting.wording import signed

LEVEL = 0.05
_VERDICTS = (Cell("may be chance", "chance"), Cell("is real", "real"))


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers on the same n_images images.

    interval: of the difference, 95 %. test: McNemar's exact test. p_holm: its p-value, corrected
    for all tests of the table (Holm).
    """

    n_images: int
    first_accuracy: float
    second_accuracy: float
    interval: Interval
    test: PairedTest
    p_holm: float

    @property
    def difference(self) -> float:
        """The first accuracy less the second."""
        return self.first_accuracy - self.second_accuracy

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance, all tests considered."""
        return self.p_holm < LEVEL

    @property
    def verdict(self) -> Cell:
        """Whether it is, as a cell."""
        return _VERDICTS[self.significant]

    @property
    def reading(self) -> str:
        """How the first compares, in words that go before the second's name."""
        return judged(self.difference, self.significant)


def paired_comparisons(
    answers: Iterable[tuple[np.ndarray, np.ndarray]],
) -> list[PairedComparison]:
    """Comparisons of one family, whose p-values are corrected together.

    answers: bool (n,) of the first and of the second, whether each image was classified correctly.
    """
    answers = list(answers)
    tests = [mcnemar(first, second) for first, second in answers]
    comparisons = []
    for (first, second), test, p_holm in zip(
        answers, tests, holm([test.p_value for test in tests]), strict=True
    ):
        n, n_both = len(first), int((first & second).sum())
        interval = paired_interval(n_both, test.n_only_first, test.n_only_second, n)
        accuracies = int(first.sum()) / n, int(second.sum()) / n
        comparisons.append(PairedComparison(n, *accuracies, interval, test, p_holm))
    return comparisons


def judged(difference: float, significant: bool) -> str:
    """How one classifier compares, in words that go before the other's name."""
    if not significant:
        return "not shown to be better than" if difference > 0 else "not better than"
    return "better than" if difference > 0 else "worse than"


def comparison_values(comparison: PairedComparison, first: str, second: str) -> dict[str, Any]:
    """Values of the columns of a comparison: the difference, the p-values, and who alone is right.

    first, second: keys of the columns of how many images either alone has right.
    """
    return {
        "difference": Measured(comparison.difference, comparison.interval),
        first: comparison.test.n_only_first,
        second: comparison.test.n_only_second,
        "p": comparison.test.p_value,
        "p_holm": comparison.p_holm,
    }


def with_mean(
    records: Sequence[Record], comparisons: Sequence[PairedComparison], first: str, second: str
) -> tuple[list[Record], MeanSpread | None]:
    """Records of single splits and, behind them, their mean over two repeated ones or more.

    first, second: keys of the scores that are compared. Gives the mean difference as well.
    """
    repeated = [
        (record.values[first], record.values[second], comparison)
        for record, comparison in zip(records, comparisons, strict=True)
        if record.values[first].kind == "repeated"
    ]
    if len(repeated) < 2:
        return list(records), None
    mean = mean_difference(
        [comparison.difference for *_, comparison in repeated],
        n_train=min(score.n_train for score, *_ in repeated),
        n_validation=max(comparison.n_images for *_, comparison in repeated),
    )
    values = {
        "split": Cell(f"mean over {mean.n_splits} clean splits", "mean"),
        "difference": mean,
        first: over_repeats(score for score, _, _ in repeated),
        second: over_repeats(score for _, score, _ in repeated),
    }
    over = Record(values, group=records[0].group, tag=records[0].tag)
    return [*records, over], mean


def mean_verdict(mean: MeanSpread, second: str) -> str:
    """How the first compares over repeated splits: by whether the interval leaves out zero."""
    low, high = mean.interval or (0.0, 0.0)
    ends = f" ({signed(low)} to {signed(high)})" if mean.interval else ""
    return (
        f"{judged(mean.mean, low > 0 or high < 0)} {second} over {mean.n_splits} clean splits: "
        f"mean difference {signed(mean.mean)}{ends}"
    )
