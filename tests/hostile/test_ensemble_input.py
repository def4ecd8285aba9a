"""Ensembles that are none: one member, missing predictions, folds without a class. Clear errors."""

import json
import logging
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from flowers17.ensemble.meta_learners import META_LEARNERS, fitted, probabilities
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.stacking import stacked
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.stages import Job
from tasks.stacking import build
from tests.unit.ensemble.synthetic_predictions import arrays

MATRICES = ("out_of_fold", "average", "refit", "first_fold")


@pytest.fixture
def given() -> dict[str, Any]:
    return arrays()


def _refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Predictions(**given)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("cut", ["columns", "rows"])
def test_columns_or_images_of_another_ensemble(name: str, cut: str, given: dict[str, Any]) -> None:
    given[name] = given[name][:, :-1] if cut == "columns" else given[name][:-1]
    _refused(given, rf"{name}: expected probabilities of 3 models and 3 classes for 60 images")


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_nobody_predicted(name: str, value: float, given: dict[str, Any]) -> None:
    row = given["validation"][3] if name == "average" else np.flatnonzero(given["folds"] == 0)[1]
    given[name][row, 4] = value
    _refused(
        given, rf"{name}: expected a prediction for every image, got none for 1 of \d+ \(NaN\)"
    )


def test_a_fold_that_was_never_predicted(given: dict[str, Any]) -> None:
    given["out_of_fold"][given["folds"] == 1] = np.nan
    _refused(given, r"out_of_fold: .* got none for 15 of 45 \(NaN\): no fold covered them")


def test_a_fold_without_a_class_in_the_rest(given: dict[str, Any]) -> None:
    in_folds = given["folds"] >= 0
    given["folds"][in_folds & (given["labels"] == 1)] = 2
    _refused(given, "fold 3: expected every class outside it, got no image of class class 1")


@pytest.mark.parametrize("numbers", [{1: 0, 2: 0}, {1: 3}, {0: -1, 1: -1, 2: -1}])
def test_folds_that_are_missing(numbers: dict[int, int], given: dict[str, Any]) -> None:
    given["validation"] = given["validation"].copy()
    folds = given["folds"].copy()
    for old, new in numbers.items():
        given["folds"][folds == old] = new
    _refused(given, "folds: expected two or more, numbered from 0, got")


def test_validation_images_that_are_in_a_fold(given: dict[str, Any]) -> None:
    given["validation"] = np.append(given["validation"], np.flatnonzero(given["folds"] == 2)[0])
    _refused(given, "validation: expected images that are in no fold.*got 16, 1 of them in a fold")


def test_no_validation_images(given: dict[str, Any]) -> None:
    given["validation"] = given["validation"][:0]
    _refused(given, "validation: expected images that are in no fold, at least one, got 0")


def _without_hold_out(given: dict[str, Any], label: int) -> None:
    told: list[tuple[int, int]] = []
    result, arrays = stacked(
        Predictions(**given), ["logistic_regression"], 1, lambda *steps: told.append(steps)
    )
    assert [one["scheme"] for one in result["stackings"]] == ["biased", "out-of-fold"]
    assert {one["method"] for one in result["methods"]} == {
        "average",
        "weighted_average",
        "logistic_regression",
    }
    assert len(arrays) == 2 * 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    says = rf"expected to divide the first fold .* got 1 of class class {label} there.*n_folds"
    assert re.match(says, result["no_hold_out"])


def test_a_first_fold_of_near_duplicates_costs_the_hold_out_alone(given: dict[str, Any]) -> None:
    first = given["folds"] == 0
    given["groups"][first & (given["labels"] == 2)] = 999
    _without_hold_out(given, 2)


def test_a_first_fold_with_one_image_of_a_class_costs_the_hold_out_alone(
    given: dict[str, Any],
) -> None:
    of_class = np.flatnonzero((given["folds"] == 0) & (given["labels"] == 1))
    given["folds"][of_class[1:]] = 1
    _without_hold_out(given, 1)


def test_the_stage_says_that_there_is_no_hold_out(
    given: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given["groups"][given["folds"] == 0] = 999
    members = [{"name": name} for name in given["members"]]
    named = dict.fromkeys(("ensemble", "split", "kind", "fingerprint"), "x")

    class OutOfFold:
        """What the stage before it left."""

        manifest: ClassVar[dict[str, Any]] = {"files": {}}

        def json(self, name: str) -> dict[str, Any]:
            return {**named, "members": members, "classes": given["classes"]}

        def array(self, name: str) -> np.ndarray:
            return np.asarray(given[name.replace("-", "_")])

    found: Any = OutOfFold()
    places: Any = {"store": None, "folder": tmp_path, "unfinished": tmp_path}
    job = Job({"meta_learners": ["logistic_regression"]}, 1, {"out_of_fold": found}, {}, **places)
    with caplog.at_level(logging.WARNING):
        assert build(job)["method"]
    [said] = caplog.messages
    result = json.loads((tmp_path / "result.json").read_text())
    assert said == f"no hold-out: {result['no_hold_out']}"


def test_classes_as_small_as_five_folds_bear_lose_nothing_but_the_hold_out() -> None:
    """Of seven images two validate, and each fold has one."""
    given = arrays(n_each=7)
    given["folds"] = np.tile([-1, -1, 0, 1, 2, 3, 4], 3)
    given["validation"] = np.flatnonzero(given["folds"] < 0)
    random = np.random.default_rng(1)
    for name in MATRICES:
        given[name] = random.dirichlet(np.ones(3), (21, 3)).reshape(21, 9).astype(np.float32)
    result = stacked(Predictions(**given), ["logistic_regression", "gradient_boosting"], 1).result
    assert len(result["stackings"]) == 2 * 2
    assert "expected to divide the first fold" in result["no_hold_out"]


@pytest.mark.parametrize("name", META_LEARNERS)
class TestMetaLearners:
    def test_refuse_images_that_no_fold_covered(self, name: str) -> None:
        matrix = np.full((12, 4), 0.5)
        matrix[[2, 5]] = np.nan
        with pytest.raises(InvalidInput, match=rf"{name}.* got none for 2 of 12 \(NaN\)"):
            fitted(name, matrix, np.arange(12) % 2, 1)

    def test_refuse_to_be_asked_about_them(self, name: str) -> None:
        matrix = np.random.default_rng(1).random((12, 4))
        model = fitted(name, matrix, np.arange(12) % 2, 1)
        with pytest.raises(InvalidInput, match=r"got none for 1 of 1 \(NaN\)"):
            probabilities(model, np.full((1, 4), np.nan))

    def test_refuse_labels_without_a_class(self, name: str) -> None:
        labels = np.array([0, 2] * 6)
        with pytest.raises(InvalidInput, match="got none of class number 1"):
            fitted(name, np.full((12, 6), 0.5), labels, 1)


def test_an_unknown_meta_learner_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSettings, match="random_forest, logistic_regression, gradient_boos"):
        fitted("perceptron", np.full((12, 4), 0.5), np.arange(12) % 2, 1)
