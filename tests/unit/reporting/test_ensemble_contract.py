"""What the library of ensembles makes is what the report reads."""

from pathlib import Path

import numpy as np
import pytest

from flowers17.ensemble.calibration import expected_calibration_error, tempered
from flowers17.ensemble.predictions import Predictions
from flowers17.ensemble.stacking import Stacked, stacked
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import mains
from flowers17.reporting.ensembles.importances import impurity_sums
from flowers17.reporting.ensembles.paired import comparison
from flowers17.reporting.ensembles.tables import ensemble_tables
from flowers17.reporting.report import write_report

from .made_ensembles import STUDYS, described_members
from .made_study import tiny_study
from .maker import Maker

pytestmark = pytest.mark.slow

N_FOLDS = 3


def _noisy(labels: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Return probabilities, float32 (n, 3), that favour the label, the less the more noise."""
    scores = np.eye(3)[labels] * 2 + random.normal(0, noise, (len(labels), 3))
    powers = np.exp(scores)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportInputs, Stacked]:
    """Return a study whose five members see their training images well, and others less."""
    root = tmp_path_factory.mktemp("contract")
    inputs = tiny_study(root / "study")
    split, labels = inputs.divided[1], inputs.labels
    train, validation = np.asarray(split["train"]), np.asarray(split["validation"])
    folds = np.full(len(labels), -1, np.int64)
    folds[train] = np.arange(len(train)) % N_FOLDS
    random = np.random.default_rng(5)

    def all_members(noise: float) -> np.ndarray:
        return np.concatenate([_noisy(labels, noise, random) for _ in STUDYS], axis=1)

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
    given = {name.replace("-", "_"): array for name, array in arrays.items()}
    predictions = Predictions(**given, members=tuple(STUDYS), classes=tuple(inputs.class_names))
    found = stacked(predictions, ["random_forest", "logistic_regression"], 17)
    described = described_members("study", split, STUDYS, inputs.class_names)
    maker = Maker(root / "ensembles")
    unseen = maker.publish(
        "out_of_fold", "out-of-fold of study, clean split", {}, arrays, {"members": described}
    )
    more = {name: described[name] for name in ("ensemble", "split", "kind", "fingerprint")}
    maker.publish(
        "stacking",
        "stacking of study, clean split",
        {"out_of_fold": unseen},
        found.arrays,
        {"result": {**found.result, **more}},
    )
    both = {**inputs.artifacts, **maker.artifacts}
    return ReportInputs(both, [], inputs.settings), found


def test_every_table_and_figure_is_written(
    made: tuple[ReportInputs, Stacked], tmp_path: Path
) -> None:
    inputs, _ = made
    metrics = write_report(inputs, tmp_path)
    assert "best ensemble accuracy (clean)" in metrics
    numbers = [one.number for one in ensemble_tables(inputs)]
    assert numbers == ["4", "5", "5-leak", "5-paired", "5-calibration", "6", "6-classes"]
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"figure-05", "figure-05-confusion", "figure-05-reliability", "figure-06"} <= figures


def test_counts_agree_with_the_predictions(made: tuple[ReportInputs, Stacked]) -> None:
    (one,) = mains(made[0])
    assert [outcome.name for outcome in one.learners] == STUDYS
    assert [outcome.name for outcome in one.methods] == [
        "average",
        "weighted_average",
        "random_forest",
        "logistic_regression",
    ]
    assert comparison(one).ensemble is one


def test_importances_of_all_members_sum_to_one(made: tuple[ReportInputs, Stacked]) -> None:
    (one,) = mains(made[0])
    assert sum(impurity_sums(one).values()) == pytest.approx(1)


def test_diagram_is_drawn_of_the_probabilities_whose_error_is_told(
    made: tuple[ReportInputs, Stacked],
) -> None:
    (one,) = mains(made[0])
    for found in one.calibrations:
        before = one.proba(found.method, found.by)
        after = tempered(before, found.temperature)
        assert expected_calibration_error(before, one.truth) == pytest.approx(found.error)
        assert expected_calibration_error(after, one.truth) == pytest.approx(found.calibrated_error)


def test_members_that_remember_their_images_flatter_the_biased_way(
    made: tuple[ReportInputs, Stacked],
) -> None:
    (one,) = mains(made[0])
    forest = {way.way: way for way in one.stackings if way.meta_learner == "random_forest"}
    assert forest["biased"].apparent == forest["biased"].n_apparent == 36
    assert forest["biased"].gap > forest["out-of-fold"].gap
