"""Importances: scikit-learn's, drops by hand, and nothing for a member that says nothing."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from flowers17.ensemble.importances import left_out, of_forest, permutation
from flowers17.ensemble.meta_learners import fitted
from flowers17.ensemble.predictions import Predictions
from flowers17.seeds import generator
from tests.support.forests import N_TREES
from tests.unit.ensemble.synthetic_predictions import arrays, synthetic_predictions

SEED = 3


class FirstMember:
    """A meta-learner that repeats the first member."""

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Return the first member's columns."""
        return matrix[:, :3]


@pytest.fixture(scope="module")
def case() -> Predictions:
    return synthetic_predictions()


@pytest.fixture(scope="module")
def forest(case: Predictions) -> Any:
    return fitted("random_forest", case.out_of_fold[case.train], case.labels[case.train], SEED)


def test_impurity_is_scikit_learn_s_and_sums_to_one(case: Predictions, forest: Any) -> None:
    importances = of_forest(forest, case, seed=SEED)["impurity"]
    plain = RandomForestClassifier(N_TREES, random_state=SEED)
    plain.fit(case.out_of_fold[case.train], case.labels[case.train])
    np.testing.assert_allclose(list(importances.values()), plain.feature_importances_, rtol=1e-9)
    assert sum(importances.values()) == pytest.approx(1)


def test_shuffling_what_is_not_read_loses_nothing(case: Predictions) -> None:
    drops = permutation(FirstMember(), case, seed=SEED)
    assert [drops["permutation"][name] for name in case.members[1:]] == [
        {"mean": 0, "spread": 0}
    ] * 2
    assert drops["permutation"]["member 0"]["mean"] > 0.05


def test_a_drop_is_that_by_hand(case: Predictions) -> None:
    drops = permutation(FirstMember(), case, seed=SEED, n_draws=4)
    proba, labels = case.average[case.validation][:, :3], case.labels[case.validation]
    before = proba.argmax(axis=1) == labels
    after = np.array(
        [
            proba[generator(SEED, "permutation", draw).permutation(len(labels))].argmax(axis=1)
            == labels
            for draw in range(4)
        ]
    )
    by_draw = before.mean() - after.mean(axis=1)
    assert drops["permutation"]["member 0"]["mean"] == pytest.approx(by_draw.mean())
    assert drops["permutation"]["member 0"]["spread"] == pytest.approx(by_draw.std(ddof=1))
    for label in range(3):
        of_class = before[labels == label].mean() - after[:, labels == label].mean()
        assert drops["per_class"][f"class {label}"]["member 0"] == pytest.approx(of_class)


def test_drops_of_classes_average_to_the_drop_of_accuracy(case: Predictions, forest: Any) -> None:
    """Every class has five validation images."""
    drops = permutation(forest, case, seed=SEED)
    for member in case.members:
        by_class = [drops["per_class"][label][member] for label in case.classes]
        assert np.mean(by_class) == pytest.approx(drops["permutation"][member]["mean"])


def test_a_class_without_validation_images_has_no_drop() -> None:
    values = arrays()
    values["validation"] = values["validation"][values["labels"][values["validation"]] != 1]
    drops = permutation(FirstMember(), Predictions(**values), seed=SEED)
    assert drops["per_class"]["class 1"]["member 0"] is None
    assert drops["per_class"]["class 0"]["member 0"] is not None


def test_left_out_is_a_forest_without_the_member(case: Predictions) -> None:
    n_correct = left_out("random_forest", case, seed=SEED)
    columns = [0, 1, 2, 6, 7, 8]
    plain = RandomForestClassifier(N_TREES, random_state=SEED)
    plain.fit(case.out_of_fold[case.train][:, columns], case.labels[case.train])
    predicted = plain.predict(case.average[case.validation][:, columns])
    assert n_correct["member 1"] == np.count_nonzero(predicted == case.labels[case.validation])


def test_the_better_member_matters_more_by_all_measures(forest: Any, case: Predictions) -> None:
    importances = of_forest(forest, case, seed=SEED)
    names = [f"{member}/{label}" for member in case.members for label in case.classes]
    assert list(importances["impurity"]) == names
    summed = [sum(list(importances["impurity"].values())[3 * k : 3 * k + 3]) for k in range(3)]
    assert summed == sorted(summed)
    assert (
        importances["permutation"]["member 2"]["mean"]
        > importances["permutation"]["member 0"]["mean"]
    )
    assert importances["left_out"]["member 2"] <= importances["left_out"]["member 0"]
