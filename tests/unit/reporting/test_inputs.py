"""What is found among artifacts, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from flowers17.digests import canonical_json
from flowers17.errors import InvalidInput
from flowers17.reporting.inputs import ReportInputs

from .made_study import REASON, TOGETHER, tiny_study
from .maker import Maker


def test_images_are_those_that_the_splits_were_made_of(
    tmp_path: Path, real_study: ReportInputs
) -> None:
    maker = Maker(tmp_path)
    small = np.zeros((48, 16, 16, 3), dtype=np.uint8)
    small_artifact = maker.publish("images", "images@16", {}, {"images": small}, {"items": {}})
    inputs = ReportInputs(
        {"an earlier label": small_artifact, **real_study.artifacts}, [], real_study.settings
    )
    assert inputs.images is not None
    assert inputs.images.reference == real_study.artifacts["images@128"].reference


def test_every_evaluation_is_found_once(real_study: ReportInputs) -> None:
    assert len(real_study.evaluations) == 6
    assert len(real_study.evaluations_of_table_8) == 5
    assert real_study.evaluation(TOGETHER) is not None


def test_best_is_the_highest_on_the_reports_split(real_study: ReportInputs) -> None:
    assert real_study.best is not None
    assert real_study.best.classifier == "logistic_regression"
    score = real_study.best.score("report")
    assert score is not None
    assert (score.n_correct, score.n_validation, score.accuracy) == (12, 12, 1.0)


def test_mean_is_taken_over_the_repeated_splits_only(real_study: ReportInputs) -> None:
    # The SVM errs on 1 or 2 images, in turn, from the report's split on: repeats 1, 2, 1.
    svm = next(
        evaluation for evaluation in real_study.evaluations if evaluation.classifier == "svm"
    )
    assert svm.repeated is not None
    assert svm.repeated.mean == pytest.approx((11 + 10 + 11) / 36)


def test_missing_reason_is_that_of_the_feature_map(real_study: ReportInputs) -> None:
    assert real_study.reason_missing(["inceptionv3"], "svm") == REASON
    assert real_study.reason_missing(["nothing-like-it"]) == "no result was made"


def test_differences_name_what_keeps_numbers_from_comparing(
    real_study: ReportInputs, demo_study: ReportInputs
) -> None:
    assert real_study.differences == []
    assert [difference.split()[1] for difference in demo_study.differences] == [
        "flowers",
        "extractors’",
    ]


def test_result_that_disagrees_with_its_predictions_is_refused(tmp_path: Path) -> None:
    inputs = tiny_study(tmp_path)
    artifact = inputs.artifacts["svm on mobilenet"]
    result = artifact.json("result")
    result["splits"][0]["n_correct"] += 1
    artifact.file("result.json").write_text(canonical_json(result))
    with pytest.raises(InvalidInput, match=r"expected 12 of 12 correct.*have 11 of 12"):
        _ = inputs.evaluations


def test_predictions_of_another_length_are_refused(tmp_path: Path) -> None:
    inputs = tiny_study(tmp_path)
    artifact = inputs.artifacts["svm on mobilenet"]
    np.save(artifact.file("report-predicted.npy"), np.zeros(5, dtype=np.int64))
    with pytest.raises(InvalidInput, match=r"expected 12 predictions.*got shape \(5,\)"):
        _ = inputs.evaluations


def test_training_that_disagrees_with_its_predictions_is_refused(tmp_path: Path) -> None:
    inputs = tiny_study(tmp_path, missing_trainings={})
    artifact = inputs.artifacts["mk-2 wide, report split"]
    result = artifact.json("result")
    artifact.file("result.json").write_text(canonical_json({**result, "n_correct": 10}))
    with pytest.raises(InvalidInput, match=r"expected 10 of 12 correct.*have 9 of 12"):
        _ = inputs.trainings


def test_trainings_are_found_by_learner_and_augmentation(trained_study: ReportInputs) -> None:
    assert len(trained_study.trainings) == 3 + 6 + 4
    wide = trained_study.training("mk-2", "wide")
    assert wide is not None
    assert wide.artifact.reference == trained_study.artifacts["mk-2 wide, report split"].reference
    assert trained_study.training("mk-1", "none") is None
    assert trained_study.training("residual", "strong") is None
    own = trained_study.own_trainings["residual"]
    assert [training.score.split for training in own] == [
        "report",
        "clean",
        "repeat-01",
        "repeat-02",
    ]
