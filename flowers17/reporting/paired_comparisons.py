"""Paired comparisons: two classifiers on the same images, and whether chance explains the rest."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowers17.reporting.cells import score_cell, value_cell
from flowers17.reporting.columns import Form
from flowers17.reporting.metrics import MeanSpread, PairedTest, holm, mcnemar, mean_difference
from flowers17.reporting.records import Score, over_repeats
from flowers17.reporting.tables import Cell, Column, Record
from flowers17.reporting.wording import p_text, signed

LEVEL = 0.05


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers on the same n_images images.

    test: McNemar's exact test. p_holm: its p-value, corrected for all tests of the table (Holm).
    """

    n_images: int
    first_accuracy: float
    second_accuracy: float
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
    return [
        PairedComparison(
            len(first), int(first.sum()) / len(first), int(second.sum()) / len(first), test, p_holm
        )
        for (first, second), test, p_holm in zip(
            answers, tests, holm([test.p_value for test in tests]), strict=True
        )
    ]


def mean_over_splits(
    comparisons: Sequence[PairedComparison], n_train: Iterable[int]
) -> MeanSpread | None:
    """Mean difference over repeated splits; None for fewer than two.

    n_train: training images of each split.
    """
    if len(comparisons) < 2:
        return None
    return mean_difference(
        [comparison.difference for comparison in comparisons],
        n_train=min(n_train),
        n_validation=max(comparison.n_images for comparison in comparisons),
    )


def judged(difference: float, significant: bool) -> str:
    """How one classifier compares, in words that go before the other's name."""
    if not significant:
        return "not shown to be better than" if difference > 0 else "not better than"
    return "better than" if difference > 0 else "worse than"


@dataclass(frozen=True)
class PairedRecord(Record):
    """A row of paired comparisons: on one split, or the mean difference over repeated ones.

    title: its heading; value: what files hold in its place. first, second: the scores that are
    compared, or their means. of: what else the columns read.
    """

    title: str
    value: str | None = None
    comparison: PairedComparison | None = None
    mean: MeanSpread | None = None
    first: Score | MeanSpread | None = None
    second: Score | MeanSpread | None = None
    of: Any = None


def with_mean(records: Sequence[PairedRecord]) -> list[PairedRecord]:
    """Records of single splits and, behind them, their mean over two repeated ones or more."""
    repeated = [
        (record.first, record.second, record.comparison)
        for record in records
        if isinstance(record.first, Score) and record.first.kind == "repeated"
        if isinstance(record.second, Score) and record.comparison
    ]
    comparisons = [comparison for _, _, comparison in repeated]
    mean = mean_over_splits(comparisons, (first.n_train for first, _, _ in repeated))
    if not mean:
        return list(records)
    over = PairedRecord(
        f"mean over {mean.n_splits} clean splits",
        "mean",
        mean=mean,
        first=over_repeats(first for first, _, _ in repeated),
        second=over_repeats(second for _, second, _ in repeated),
        group=records[0].group,
        tag=records[0].tag,
    )
    return [*records, over]


def mean_verdict(mean: MeanSpread, second: str) -> str:
    """How the first compares over repeated splits: by whether the interval leaves out zero."""
    low, high = mean.interval or (0.0, 0.0)
    ends = f" ({signed(low)} to {signed(high)})" if mean.interval else ""
    return (
        f"{judged(mean.mean, low > 0 or high < 0)} {second} over {mean.n_splits} clean splits: "
        f"mean difference {signed(mean.mean)}{ends}"
    )


def comparison_columns(
    *, interval: bool = False, **alone: tuple[str, str]
) -> tuple[Column[PairedRecord], ...]:
    """The difference, how many images either alone has right, and the p-values.

    interval: whether means are among the rows. alone: of the `first` and the `second`, in the order
    of their columns, the column's key and title.
    """

    def column(
        key: str, title: str, value: Callable[[PairedComparison], float], form: Form
    ) -> Column[PairedRecord]:
        def cell(record: PairedRecord) -> Cell | None:
            comparison = record.comparison
            if not comparison:
                return None
            return value_cell(value(comparison), form, source=record.source)

        return Column(key, title, cell)

    def difference(record: PairedRecord) -> Cell | None:
        if record.mean:
            return score_cell(record.mean, form=signed)
        return of_comparison.cell(record)

    of_comparison = column("difference", "Difference", lambda c: c.difference, signed)
    n_alone: dict[str, Callable[[PairedComparison], float]] = {
        "first": lambda c: c.test.n_only_first,
        "second": lambda c: c.test.n_only_second,
    }
    return (
        replace(of_comparison, cell=difference, interval=interval),
        *(column(*key_and_title, n_alone[name], str) for name, key_and_title in alone.items()),
        column("p", "p, exact McNemar", lambda c: c.test.p_value, p_text),
        column("p_holm", "p, Holm", lambda c: c.p_holm, p_text),
    )
