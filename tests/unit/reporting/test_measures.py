"""Measures beyond accuracy against plain counting, small known examples and resampling."""

import numpy as np
import pytest
from scipy.stats import binomtest

from flowers17.data.balance import counts_by_class, first_measure, is_balanced
from flowers17.reporting.classes.measures import (
    area_under_roc,
    average_precision,
    balanced_accuracy,
    class_scores,
    macro_f1,
    threshold_for,
    top_k,
)
from flowers17.reporting.metrics import Measured, balanced_interval, effective_interval, within

NAMES = ["cat", "dog", "owl"]
# Nothing is taken for an owl, and one class dominates.
TRUTH = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 1])


def _draws(n: int, n_classes: int, seed: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(n_classes, n, p=np.arange(1, n_classes + 1) / sum(range(n_classes + 1)))
    predicted = np.where(rng.random(n) < right, truth, rng.integers(0, n_classes, n))
    return truth, predicted


class TestClassScores:
    def test_are_shares_that_can_be_counted_by_hand(self) -> None:
        scores = class_scores(TRUTH, PREDICTED, NAMES)
        assert scores.name.tolist() == NAMES
        assert scores.n_images.tolist() == [6, 2, 2]
        assert scores.n_predicted.tolist() == [7, 3, 0]
        assert [m.value for m in scores.recall] == pytest.approx([5 / 6, 1 / 2, 0])
        assert [m and m.value for m in scores.precision] == [5 / 7, 1 / 3, None]
        assert [m.value for m in scores.f1] == pytest.approx([10 / 13, 2 / 5, 0])

    def test_intervals_of_precision_and_recall_are_wilson_s(self) -> None:
        scores = class_scores(TRUTH, PREDICTED, NAMES)
        for measured, k, n in ((scores.recall[0], 5, 6), (scores.precision[1], 1, 3)):
            expected = binomtest(k, n).proportion_ci(method="wilson")
            assert measured.interval == pytest.approx((expected.low, expected.high))

    def test_interval_of_f1_is_wilson_s_of_the_share_that_it_rises_with(self) -> None:
        expected = binomtest(5, 8).proportion_ci(method="wilson")  # of 6 images and 2 others
        ends = [2 * end / (1 + end) for end in (expected.low, expected.high)]
        assert class_scores(TRUTH, PREDICTED, NAMES).f1[0].interval == pytest.approx(ends)

    def test_interval_of_f1_covers_it_as_often_as_it_says(self) -> None:
        rng, n_inside, value = np.random.default_rng(7), 0, 2 * 0.8 * 0.8 / 1.6
        for _ in range(400):
            truth = rng.integers(0, 2, 200)  # each class with recall and precision of 0.8
            predicted = np.where(rng.random(200) < 0.8, truth, 1 - truth)
            low, high = class_scores(truth, predicted, ["a", "b"]).f1[0].interval
            n_inside += low <= value <= high
        assert 0.92 <= n_inside / 400 <= 0.99

    def test_a_class_without_images_and_predictions_has_no_number_rather_than_nan(self) -> None:
        scores = class_scores(np.array([0, 0]), np.array([0, 0]), NAMES)
        assert [scores[name][2] for name in ("precision", "recall", "f1")] == [None] * 3
        values = [m for name in ("precision", "recall", "f1") for m in scores[name] if m]
        assert all(np.isfinite([m.value, *m.interval]).all() for m in values)


class TestMeansOverClasses:
    @pytest.mark.parametrize("seed", range(3))
    def test_equal_plain_counting(self, seed: int) -> None:
        truth, predicted = _draws(150, 4, seed, 0.6)
        recalls = [np.mean(predicted[truth == c] == c) for c in range(4)]
        f1 = [
            2
            * np.sum((truth == c) & (predicted == c))
            / (np.sum(truth == c) + np.sum(predicted == c))
            for c in range(4)
        ]
        assert balanced_accuracy(truth, predicted).value == pytest.approx(np.mean(recalls))
        assert macro_f1(truth, predicted).value == pytest.approx(np.mean(f1))

    @pytest.mark.parametrize("measure", [balanced_accuracy, macro_f1])
    def test_intervals_are_as_wide_as_those_of_resampled_images(self, measure: object) -> None:
        truth, predicted = _draws(400, 4, 1, 0.6)
        rng = np.random.default_rng(2)
        rows = rng.integers(0, 400, (600, 400))
        values = [measure(truth[r], predicted[r]).value for r in rows]  # type: ignore[operator]
        low, high = measure(truth, predicted).interval  # type: ignore[operator]
        expected = np.diff(np.quantile(values, [0.025, 0.975]))[0]
        assert high - low == pytest.approx(expected, rel=0.15)

    @pytest.mark.parametrize("measure", [balanced_accuracy, macro_f1])
    def test_where_all_or_none_are_right_the_interval_has_a_width(self, measure: object) -> None:
        truth = np.repeat([0, 1], [90, 10])
        right, wrong = measure(truth, truth), measure(truth, 1 - truth)  # type: ignore[operator]
        assert (right.value, right.interval.high) == (1, 1)
        assert 0.85 < right.interval.low < 0.95  # as of 36 images: ten of a class say little
        assert (wrong.value, wrong.interval.low) == (0, 0)
        assert wrong.interval.high == pytest.approx(1 - right.interval.low)

    def test_naming_the_largest_class_has_a_balanced_accuracy_of_chance(self) -> None:
        truth = np.repeat([0, 1], [95, 5])
        assert balanced_accuracy(truth, np.zeros(100, int)).value == 0.5
        assert macro_f1(truth, np.zeros(100, int)).value == pytest.approx(0.95 / 1.95)

    def test_two_images_have_measures(self) -> None:
        for predicted in ([0, 1], [1, 0], [0, 0]):
            for measure in (balanced_accuracy, macro_f1):
                measured = measure(np.array([0, 1]), np.array(predicted))
                assert np.isfinite([measured.value, *measured.interval]).all()
                assert 0 <= measured.interval.low <= measured.value <= measured.interval.high <= 1

    def test_a_class_that_is_predicted_but_has_no_image_counts_in_f1_alone(self) -> None:
        truth, predicted = np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2])
        assert balanced_accuracy(truth, predicted).value == 0.75
        assert macro_f1(truth, predicted).value == pytest.approx((6 / 7) / 2)


def test_top_k_is_the_share_among_the_most_probable() -> None:
    rng = np.random.default_rng(0)
    proba, truth = rng.dirichlet(np.ones(12), 80), rng.integers(0, 12, 80)
    ranks = (proba > proba[np.arange(80), truth][:, None]).sum(axis=1)
    assert top_k(truth, proba, 5).value == np.mean(ranks < 5)
    assert top_k(truth, proba, 12).value == 1


class TestTwoClasses:
    PROBA = np.array([0.1, 0.4, 0.35, 0.8])
    IS_POSITIVE = np.array([False, False, True, True])

    def test_area_is_the_share_of_pairs_in_the_right_order(self) -> None:
        rng = np.random.default_rng(3)
        is_positive = rng.random(90) < 0.3
        proba = np.round(rng.random(90) + 0.4 * is_positive, 1)  # with ties
        pairs = proba[is_positive][:, None] - proba[~is_positive]
        expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))
        area = area_under_roc(is_positive, proba)
        assert area is not None
        assert area.value == pytest.approx(expected)

    def test_its_interval_is_about_as_wide_as_that_of_resampled_images(self) -> None:
        rng = np.random.default_rng(4)
        is_positive = np.arange(300) < 100
        proba = rng.normal(1.2 * is_positive)
        values = []
        for _ in range(600):
            rows = np.concatenate([rng.integers(0, 100, 100), rng.integers(100, 300, 200)])
            values.append(_area(is_positive[rows], proba[rows]).value)
        low, high = _area(is_positive, proba).interval
        expected = np.diff(np.quantile(values, [0.025, 0.975]))[0]
        assert high - low == pytest.approx(expected, rel=0.25)

    def test_known_example(self) -> None:
        assert _area(self.IS_POSITIVE, self.PROBA).value == 0.75
        assert average_precision(self.IS_POSITIVE, self.PROBA).value == pytest.approx(5 / 6)

    def test_where_the_order_is_perfect_the_interval_has_a_width(self) -> None:
        area = _area(self.IS_POSITIVE, np.array([0.1, 0.2, 0.8, 0.9]))
        assert (area.value, area.interval.high) == (1, 1)
        assert area.interval.low < 0.7

    def test_without_both_classes_there_is_no_area(self) -> None:
        assert area_under_roc(np.ones(4, bool), self.PROBA) is None
        assert area_under_roc(np.zeros(4, bool), self.PROBA) is None

    @pytest.mark.parametrize("goal", [0.3, 0.6, 0.9, 1.0])
    def test_threshold_is_the_best_of_all_that_reach_the_goal(self, goal: float) -> None:
        rng = np.random.default_rng(5)
        is_positive = rng.random(60) < 0.4
        proba = np.round(0.5 * rng.random(60) + 0.4 * is_positive, 2)
        points = []
        for threshold in np.unique(proba):
            taken = proba >= threshold
            recall, precision = (
                (taken & is_positive).sum() / is_positive.sum(),
                is_positive[taken].mean(),
            )
            points.append((float(threshold), float(recall), float(precision)))
        for_recall = threshold_for(is_positive, proba, recall=goal)
        best = max(precision for _, recall, precision in points if recall >= goal)
        assert (for_recall, best) in [(t, p) for t, r, p in points if r >= goal]
        for_precision = threshold_for(is_positive, proba, precision=goal)
        best = max(recall for _, recall, precision in points if precision >= goal)
        assert (for_precision, best) in [(t, r) for t, r, p in points if p >= goal]

    def test_a_goal_that_none_reaches_has_no_threshold(self) -> None:
        proba = np.array([0.9, 0.8, 0.1])
        assert threshold_for(np.array([False, True, False]), proba, precision=0.9) is None
        assert threshold_for(np.zeros(3, bool), proba, recall=0.5) is None


def _area(is_positive: np.ndarray, proba: np.ndarray) -> Measured:
    area = area_under_roc(is_positive, proba)
    assert area is not None
    return area


class TestBalance:
    @pytest.mark.parametrize(
        ("counts", "balanced"),
        [([80] * 17, True), ([30, 20], True), ([31, 20], False), ([5], True)],
    )
    def test_is_by_the_ratio_of_the_largest_class_to_the_smallest(
        self, counts: list[int], balanced: bool
    ) -> None:
        assert is_balanced(np.repeat(np.arange(len(counts)), counts)) is balanced

    def test_a_label_without_images_is_no_class(self) -> None:
        assert is_balanced(np.array([0, 0, 2, 2]))

    def test_balanced_data_have_no_counts_so_that_accuracy_stands_first(self) -> None:
        truth = np.array([0, 0, 1, 1])
        assert counts_by_class(truth, truth, truth) is None
        assert first_measure(3, 4, None) == 0.75

    def test_other_data_have_the_mean_recall_first(self) -> None:
        labels = np.repeat([0, 1, 2], [60, 20, 20])
        counts = counts_by_class(labels, TRUTH, PREDICTED)
        assert counts == [[5, 6], [1, 2], [0, 2]]
        assert first_measure(6, 10, counts) == balanced_accuracy(TRUTH, PREDICTED).value

    def test_interval_of_equal_classes_is_wilson_s_of_all_images(self) -> None:
        expected = binomtest(40, 60).proportion_ci(method="wilson")
        interval = balanced_interval([[20, 30], [20, 30]])
        assert interval == pytest.approx((expected.low, expected.high))
        assert effective_interval(2 / 3, 2 / 9 / 60, 1) == pytest.approx(interval)

    def test_a_class_that_is_wholly_right_does_not_count_as_certain(self) -> None:
        for n_right in (18, 20):
            few, many = (balanced_interval([[85, 100], [n_right * k, 20 * k]]) for k in (1, 50))
            assert few.high - few.low > many.high - many.low + 0.02

    @pytest.mark.parametrize(
        ("sizes", "recalls"),
        [
            ([200, 20], [0.99, 0.97]),  # the class of 20 is wholly right in half of the samples
            ([40, 5], [0.95, 0.9]),
            ([50, 20, 10, 5, 5], [0.98, 0.95, 0.9, 0.99, 0.99]),
            ([20] * 8 + [8] * 9, [0.97] * 17),
        ],
    )
    def test_interval_covers_the_balanced_accuracy_in_most_samples(
        self, sizes: list[int], recalls: list[float]
    ) -> None:
        samples = np.random.default_rng(7).binomial(sizes, recalls, (4000, len(sizes)))
        counts, times = np.unique(samples, axis=0, return_counts=True)
        intervals = [
            balanced_interval(np.column_stack([n_right, sizes]).tolist()) for n_right in counts
        ]
        covers = [within(interval, float(np.mean(recalls))) for interval in intervals]
        assert np.average(covers, weights=times) > 0.92
