"""Three schemes, all methods: numbers from scikit-learn's parts, and the form of the result."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from flowers17.ensemble.calibration import temperature, tempered
from flowers17.ensemble.meta_learners import META_LEARNERS, schemes, stackings, sub_folds
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.stacking import Stacked, chosen, methods, stacked
from flowers17.errors import InvalidInput, InvalidSettings
from tests.unit.ensemble.synthetic_predictions import arrays, synthetic_predictions

SEED = 23
NAMES = ["random_forest", "logistic_regression", "gradient_boosting"]


@pytest.fixture(scope="module")
def case() -> Predictions:
    return synthetic_predictions()


@pytest.fixture(scope="module")
def stacking(case: Predictions) -> Stacked:
    return stacked(case, NAMES, SEED)


def _right(proba: np.ndarray, labels: np.ndarray) -> int:
    return round(accuracy_score(labels, proba.argmax(axis=1)) * len(labels))


def test_the_numbers_of_a_scheme_are_those_of_scikit_learn(case: Predictions) -> None:
    truth = case.labels[case.validation]
    available = schemes(case, seed=SEED)[0]
    scheme_by_name = {scheme.name: scheme for scheme in available}
    for stacking in stackings(case, available, ["logistic_regression"], SEED):
        scheme = scheme_by_name[stacking.scheme]
        plain = META_LEARNERS["logistic_regression"](random_state=SEED)
        held_out = cross_val_predict(
            plain,
            scheme.features,
            scheme.labels,
            cv=PredefinedSplit(scheme.folds),
            method="predict_proba",
        )
        np.testing.assert_allclose(stacking.cross_validated, held_out, rtol=1e-9)
        assert (stacking.n_apparent, stacking.n_fitted) == (
            _right(held_out, scheme.labels),
            len(scheme.labels),
        )
        proba = plain.fit(scheme.features, scheme.labels).predict_proba(scheme.validation)
        assert (stacking.n_correct, stacking.n_validation) == (_right(proba, truth), len(truth))


def test_each_scheme_is_fitted_on_its_own_predictions(case: Predictions) -> None:
    biased, hold_out, out_of_fold = schemes(case, seed=SEED)[0]
    first = np.flatnonzero(case.folds == 0)
    for scheme, matrix, rows, validation_matrix in (
        (biased, case.refit, case.train, case.refit),
        (hold_out, case.first_fold, first, case.first_fold),
        (out_of_fold, case.out_of_fold, case.train, case.average),
    ):
        assert scheme.features.tobytes() == matrix[rows].tobytes()
        assert scheme.labels.tolist() == case.labels[rows].tolist()
        assert scheme.validation.tobytes() == validation_matrix[case.validation].tobytes()
    assert biased.folds.tolist() == out_of_fold.folds.tolist() == case.folds[case.train].tolist()


class TestSubFolds:
    def test_are_as_many_as_the_smallest_class_has_images(self) -> None:
        labels = np.array([0] * 9 + [1] * 3)
        folds = sub_folds(labels, np.arange(12), seed=1, classes=("a", "b"))
        assert set(folds.tolist()) == {0, 1, 2}

    def test_are_five_at_most(self) -> None:
        labels = np.repeat([0, 1], 30)
        folds = sub_folds(labels, np.arange(60), seed=1, classes=("a", "b"))
        assert Counter(folds.tolist()) == dict.fromkeys(range(5), 12)

    def test_keep_near_duplicates_together_and_every_class_in_the_rest(self) -> None:
        labels = np.repeat([0, 1, 2], 6)
        groups = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7, 8, 9, 10, 11, 12, 13])
        folds = sub_folds(labels, groups, seed=1, classes=("a", "b", "c"))
        for group in (6, 7):
            assert len(set(folds[groups == group].tolist())) == 1
        for fold in set(folds.tolist()):
            assert set(labels[folds != fold].tolist()) == {0, 1, 2}

    def test_are_none_where_a_class_would_be_in_one_of_them_alone(self) -> None:
        labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 3])
        with pytest.raises(InvalidInput, match=r"got 1 of class b there, .*; lower ensemble.n_fol"):
            sub_folds(labels, groups, seed=1, classes=("a", "b"))


def test_the_result_is_json_with_every_method_and_scheme(
    stacking: Stacked, case: Predictions
) -> None:
    result = json.loads(json.dumps(stacking.result, allow_nan=False))
    assert result == stacking.result
    methods = ["average", "weighted_average", *NAMES]
    assert [(row["method"], row["by"]) for row in result["methods"]] == [
        (name, by) for name in methods for by in ("average", "refit")
    ]
    assert [(row["scheme"], row["meta_learner"]) for row in result["stackings"]] == [
        (scheme, name) for scheme in ("biased", "hold-out", "out-of-fold") for name in NAMES
    ]
    assert result["no_hold_out"] == ""
    assert set(stacking.arrays) == {
        f"{n}-{by}-proba" for n in methods for by in ("average", "refit")
    }
    assert (result["n_train"], result["n_validation"], result["n_folds"]) == (45, 15, 3)
    assert np.shape(result["coefficients"]) == (3, 9)
    assert sum(result["weights"].values()) == pytest.approx(1)
    assert list(result["weights"]) == result["members"] == list(case.members)


def test_members_are_counted_on_their_own(stacking: Stacked, case: Predictions) -> None:
    for k, learner in enumerate(stacking.result["learners"]):
        for name, matrix, rows in (
            ("out_of_fold", case.out_of_fold, case.train),
            ("average", case.average, case.validation),
            ("refit", case.refit, case.validation),
        ):
            assert learner[name] == _right(matrix[rows][:, 3 * k : 3 * k + 3], case.labels[rows])


def test_a_method_is_measured_on_validation_images_alone(
    stacking: Stacked, case: Predictions
) -> None:
    truth = case.labels[case.validation]
    for row in stacking.result["methods"]:
        proba = stacking.arrays[f"{row['method']}-{row['by']}-proba"]
        assert proba.dtype == np.float64
        assert row["n_correct"] == _right(proba, truth)
        clipped = np.maximum(proba, 1e-12)
        assert row["log_loss"] == pytest.approx(
            -np.log(clipped[np.arange(len(truth)), truth]).mean()
        )
        assert row["calibrated_log_loss"] == pytest.approx(
            sklearn_log_loss(truth, tempered(proba, row["temperature"])), abs=1e-6
        )


def test_the_temperature_is_that_of_the_training_images(
    stacking: Stacked, case: Predictions
) -> None:
    plain = cross_val_predict(
        META_LEARNERS["logistic_regression"](random_state=SEED),
        case.out_of_fold[case.train],
        case.labels[case.train],
        cv=PredefinedSplit(case.folds_of_train),
        method="predict_proba",
    )
    rows = [row for row in stacking.result["methods"] if row["method"] == "logistic_regression"]
    expected = temperature(plain, case.labels[case.train])
    assert [row["temperature"] for row in rows] == pytest.approx([expected, expected], rel=1e-3)
    assert {row["cross_validated"] for row in rows} == {_right(plain, case.labels[case.train])}


def test_averages_are_those_by_hand(stacking: Stacked, case: Predictions) -> None:
    weights = np.array(list(stacking.result["weights"].values()))
    for by, matrix in (("average", case.average), ("refit", case.refit)):
        members = matrix[case.validation].astype(np.float64).reshape(-1, 3, 3)
        np.testing.assert_allclose(stacking.arrays[f"average-{by}-proba"], members.mean(axis=1))
        np.testing.assert_allclose(
            stacking.arrays[f"weighted_average-{by}-proba"],
            np.einsum("m,nmc->nc", weights, members),
        )


def test_out_of_fold_stackings_are_the_methods(stacking: Stacked) -> None:
    for row in stacking.result["stackings"]:
        if row["scheme"] == "out-of-fold":
            [method] = [
                method
                for method in stacking.result["methods"]
                if (method["method"], method["by"]) == (row["meta_learner"], "average")
            ]
            assert (row["n_apparent"], row["n_correct"]) == (
                method["cross_validated"],
                method["n_correct"],
            )


def test_the_method_is_chosen_without_the_validation_images(stacking: Stacked) -> None:
    by_average = [row for row in stacking.result["methods"] if row["by"] == "average"]
    most = max(row["cross_validated"] for row in by_average)
    first = next(row for row in by_average if row["cross_validated"] == most)
    assert stacking.result["chosen"] == {"method": first["method"], "by": "average"}


def test_labels_of_validation_images_choose_and_fit_nothing(case: Predictions) -> None:
    altered = arrays()
    rows = altered["validation"]
    altered["labels"][rows] = (altered["labels"][rows] + 1) % 3
    first, second = (
        stacked(predictions, ["logistic_regression"], SEED)
        for predictions in (case, Predictions(**altered))
    )
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes()
    for name in ("weights", "coefficients", "chosen"):
        assert first.result[name] == second.result[name]
    for key in ("temperature", "cross_validated"):
        assert [row[key] for row in first.result["methods"]] == [
            row[key] for row in second.result["methods"]
        ]


def test_the_same_seed_gives_the_same_bytes(stacking: Stacked, case: Predictions) -> None:
    again = stacked(case, ["random_forest"], SEED)
    assert json.dumps(again.result["importances"]) == json.dumps(stacking.result["importances"])
    for name, array in again.arrays.items():
        assert array.tobytes() == stacking.arrays[name].tobytes()


def test_only_what_is_asked_for_is_fitted(case: Predictions) -> None:
    result = stacked(case, ["logistic_regression"], SEED).result
    assert result["importances"] is None
    assert {row["meta_learner"] for row in result["stackings"]} == {"logistic_regression"}
    assert stacked(case, [], SEED).result["stackings"] == []
    assert stacked(case, [], SEED).result["coefficients"] is None


def test_two_classes_have_coefficients_each() -> None:
    case = synthetic_predictions(n_classes=2, skills=(0.5, 1.0))
    coefficients = np.array(stacked(case, ["logistic_regression"], SEED).result["coefficients"])
    assert coefficients.shape == (2, 4)
    np.testing.assert_allclose(coefficients[0], -coefficients[1])


def test_progress_counts_to_the_end(case: Predictions) -> None:
    steps_seen: list[tuple[int, int]] = []
    stacked(case, ["logistic_regression"], SEED, lambda *steps: steps_seen.append(steps))
    assert steps_seen == [(k, 4) for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["perceptron"], "expected one of random_forest, logistic_regression, gradient_boosting"),
        (["random_forest", "random_forest"], "expected each once"),
    ],
)
def test_meta_learners_that_are_none_are_refused(
    names: Any, message: str, case: Predictions
) -> None:
    with pytest.raises(InvalidSettings, match=message):
        stacked(case, names, SEED)


class TestUnequalClasses:
    """Two classes of 40 and 16 images."""

    @pytest.fixture
    def unequal(self) -> Predictions:
        values = arrays(n_classes=2, n_each=40)
        rows = np.arange(56)
        of_images = ("out_of_fold", "average", "refit", "first_fold", "folds", "groups", "labels")
        values |= {name: values[name][rows] for name in of_images}
        values["validation"] = values["validation"][values["validation"] < 56]
        return Predictions(**values)

    def test_methods_are_counted_by_class_and_training_images_stored(
        self, unequal: Predictions
    ) -> None:
        result, stored = stacked(unequal, ["logistic_regression"], SEED)
        truth, train = unequal.labels[unequal.validation], unequal.labels[unequal.train]
        for row in result["methods"]:
            predicted = stored[f"{row['method']}-{row['by']}-proba"].argmax(axis=1)
            assert row["by_class"] == [
                [int(np.sum((truth == c) & (predicted == c))), int(np.sum(truth == c))]
                for c in (0, 1)
            ]
            in_folds = stored[f"{row['method']}-out-of-fold"].argmax(axis=1)
            assert int(np.sum(in_folds == train)) == row["cross_validated"]
            assert sum(n for n, _ in row["cross_validated_by_class"]) == row["cross_validated"]

    def test_the_method_of_the_highest_balanced_accuracy_is_chosen(
        self, unequal: Predictions
    ) -> None:
        average = methods(unequal, [])[0]
        by_class = {"largest": [[30, 30], [0, 12]], "fair": [[20, 30], [9, 12]]}
        largest_alone, fair = (
            average._replace(
                name=name,
                counts={
                    "cross_validated": sum(n for n, _ in counts),
                    "cross_validated_by_class": counts,
                },
            )
            for name, counts in by_class.items()
        )
        assert chosen([largest_alone, fair]) is fair
        by_accuracy = {"cross_validated_by_class": None}
        alike = [
            method._replace(counts=method.counts | by_accuracy) for method in (largest_alone, fair)
        ]
        assert chosen(alike).name == "largest"

    def test_balanced_classes_reach_the_meta_learners(self, unequal: Predictions) -> None:
        plain, balanced = (
            stacked(unequal, ["logistic_regression"], SEED, class_weight=weight)
            for weight in (None, "balanced")
        )
        name = "logistic_regression-refit-proba"
        assert balanced.arrays[name][:, 1].mean() > plain.arrays[name][:, 1].mean()
        average = "average-refit-proba"
        assert np.array_equal(balanced.arrays[average], plain.arrays[average])
