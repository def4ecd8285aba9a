"""What the library of ensembles makes is what the report reads."""

from pathlib import Path

import numpy as np
import pytest

from flowers17.ensemble.calibration import expected_calibration_error, tempered
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.stacking import Stacked, stacked
from flowers17.reporting.ensembles.tables import ensemble_tables
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import write_report
from tests.support.forests import few_trees

from .made_ensembles import STUDY_MEMBERS, described_members
from .made_study import tiny_study
from .maker import Maker

pytestmark = pytest.mark.slow

N_FOLDS = 3


def _noisy(labels: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Probabilities, float32 (n, 3), that favour the label, the less the more noise."""
    scores = np.eye(3)[labels] * 2 + random.normal(0, noise, (len(labels), 3))
    powers = np.exp(scores)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportInputs, Stacked]:
    """A study whose five members see their training images well, and others less."""
    root = tmp_path_factory.mktemp("contract")
    inputs = tiny_study(root / "study")
    split, labels = inputs.divided[1], inputs.labels
    train, validation = np.asarray(split["train"]), np.asarray(split["validation"])
    folds = np.full(len(labels), -1, np.int64)
    folds[train] = np.arange(len(train)) % N_FOLDS
    random = np.random.default_rng(5)

    def all_members(noise: float) -> np.ndarray:
        return np.concatenate([_noisy(labels, noise, random) for _ in STUDY_MEMBERS], axis=1)

    out_of_fold, average, refit, first = (all_members(noise) for noise in (2, 2, 2, 2))
    refit[train] = all_members(0.1)[train]
    out_of_fold[validation] = np.nan
    average[train] = np.nan
    arrays = {
        "out-of-fold": out_of_fold,
        "average": average,
        "refit": refit,
        "first-fold": first,
        "folds": folds,
        "groups": np.arange(len(labels)),
        "labels": labels,
        "validation": validation,
    }
    fields = {name.replace("-", "_"): array for name, array in arrays.items()}
    predictions = Predictions(
        **fields, members=tuple(STUDY_MEMBERS), classes=tuple(inputs.class_names)
    )
    with few_trees():
        combination = stacked(predictions, ["random_forest", "logistic_regression"], 17)
    described = described_members("study", split, STUDY_MEMBERS, inputs.class_names)
    maker = Maker(root / "ensembles")
    unseen = maker.publish(
        "out_of_fold", "out-of-fold of study, clean split", {}, arrays, {"members": described}
    )
    more = {name: described[name] for name in ("ensemble", "split", "kind", "fingerprint")}
    maker.publish(
        "stacking",
        "stacking of study, clean split",
        {"out_of_fold": unseen},
        combination.arrays,
        {"result": {**combination.result, **more}},
    )
    artifacts = {**inputs.artifacts, **maker.artifacts}
    return ReportInputs(artifacts, [], inputs.settings), combination


def test_every_table_and_figure_is_written(
    contract: tuple[ReportInputs, Stacked], tmp_path: Path
) -> None:
    inputs, _ = contract
    metrics = write_report(inputs, tmp_path)
    assert "best ensemble accuracy (clean)" in metrics
    numbers = [table.number for table in ensemble_tables(inputs)]
    assert numbers == ["4", "5", "5-leak", "5-paired", "5-calibration", "6", "6-classes"]
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"figure-05", "figure-05-confusion", "figure-05-reliability", "figure-06"} <= figures


def test_counts_agree_with_the_predictions(contract: tuple[ReportInputs, Stacked]) -> None:
    (result,) = contract[0].ensemble_results
    assert list(result.outcomes) == [
        *STUDY_MEMBERS,
        "average",
        "weighted_average",
        "random_forest",
        "logistic_regression",
    ]


def test_importances_of_all_members_sum_to_one(contract: tuple[ReportInputs, Stacked]) -> None:
    (result,) = contract[0].ensemble_results
    assert sum(result.impurity.values()) == pytest.approx(1)


def test_diagram_is_drawn_of_the_probabilities_whose_error_is_told(
    contract: tuple[ReportInputs, Stacked],
) -> None:
    (result,) = contract[0].ensemble_results
    for calibration in result.calibrations:
        before = result.proba(calibration["method"], calibration["by"])
        after = tempered(before, calibration["temperature"])
        for proba, error in (
            (before, calibration["expected_calibration_error"]),
            (after, calibration["calibrated_expected_calibration_error"]),
        ):
            assert expected_calibration_error(proba, result.truth) == pytest.approx(error)


def test_members_that_remember_their_images_make_the_biased_scheme_optimistic(
    contract: tuple[ReportInputs, Stacked],
) -> None:
    (result,) = contract[0].ensemble_results
    biased = result.stacking("biased", "random_forest")
    out_of_fold = result.stacking("out-of-fold", "random_forest")
    assert biased
    assert out_of_fold
    assert biased.apparent.n_correct == biased.apparent.n_validation == 36
    assert biased.optimism > out_of_fold.optimism
