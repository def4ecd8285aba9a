"""Paired comparisons: two classifiers on the same images, and whether chance explains the rest."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.reporting.cells import value_cell
from flowers17.reporting.metrics import MeanSpread, PairedTest, holm, mcnemar, mean_difference
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


def mean_judged(mean: MeanSpread) -> str:
    """How the first compares over repeated splits: by whether the interval leaves out zero."""
    low, high = mean.interval or (0.0, 0.0)
    return judged(mean.mean, low > 0 or high < 0)


def mean_text(mean: MeanSpread) -> str:
    """A mean difference with the ends of its interval."""
    ends = " to ".join(map(signed, mean.interval or ()))
    return f"mean difference {signed(mean.mean)}" + (f" ({ends})" if ends else "")


def judged(difference: float, significant: bool) -> str:
    """How one classifier compares, in words that go before the other's name."""
    if not significant:
        return "not shown to be better than" if difference > 0 else "not better than"
    return "better than" if difference > 0 else "worse than"


@dataclass(frozen=True)
class PairedRecord(Record):
    """A row of paired comparisons: on one split, or the mean difference over repeated ones.

    title: its heading; value: what files hold in its place.
    """

    title: str
    value: str | None = None
    comparison: PairedComparison | None = None
    mean: MeanSpread | None = None


def difference_column(*, interval: bool = False) -> Column[PairedRecord]:
    """Column of the first accuracy less the second. interval: whether means are among them."""

    def cell(record: PairedRecord) -> Cell | None:
        if record.mean:
            return Cell(signed(record.mean.mean), record.mean.mean, record.mean.interval)
        return _comparison_cell(record, lambda comparison: comparison.difference, signed)

    return Column("difference", "Difference", cell, interval=interval)


def only_first_column(key: str, title: str) -> Column[PairedRecord]:
    """Column of how many images only the first has right."""
    return _comparison_column(key, title, lambda comparison: comparison.test.n_only_first, str)


def only_second_column(key: str, title: str) -> Column[PairedRecord]:
    """Column of how many images only the second has right."""
    return _comparison_column(key, title, lambda comparison: comparison.test.n_only_second, str)


def _comparison_cell(
    record: PairedRecord, value: Callable[[PairedComparison], float], form: Callable[[Any], str]
) -> Cell | None:
    if not record.comparison:
        return None
    return value_cell(value(record.comparison), form, source=record.source)


def _comparison_column(
    key: str, title: str, value: Callable[[PairedComparison], float], form: Callable[[Any], str]
) -> Column[PairedRecord]:
    return Column(key, title, lambda record: _comparison_cell(record, value, form))


P_COLUMNS: tuple[Column[PairedRecord], ...] = (
    _comparison_column("p", "p, exact McNemar", lambda comparison: comparison.test.p_value, p_text),
    _comparison_column("p_holm", "p, Holm", lambda comparison: comparison.p_holm, p_text),
)
