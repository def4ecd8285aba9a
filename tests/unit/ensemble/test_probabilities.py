"""Out-of-fold matrices: cross_val_predict's, and refused where models don't belong together."""

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from flowers17.config import ClassifierSettings
from flowers17.data.splits import Split
from flowers17.ensemble.folds import stratified_folds
from flowers17.ensemble.predictions import averaged_models, out_of_fold, side_by_side
from flowers17.errors import InvalidInput
from flowers17.transfer.classifier_evaluation import fits
from flowers17.transfer.rowspace import normalised, row_space

RANDOM = np.random.default_rng(3)
LABELS = np.repeat(np.arange(3), 30)
FEATURES = (RANDOM.normal(size=(90, 8)) + LABELS[:, None] * 0.5).astype(np.float32)
fold_of = stratified_folds(LABELS, np.arange(90), np.arange(90), n_folds=5, seed=1)
ESTIMATORS = {
    "logistic regression": LogisticRegression(),
    "random forest": RandomForestClassifier(20, random_state=5),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_they_equal_cross_val_predict(name: str) -> None:
    estimator: ClassifierMixin = ESTIMATORS[name]
    by_fold = [
        estimator.fit(FEATURES[fold_of != fold], LABELS[fold_of != fold]).predict_proba(FEATURES)
        for fold in range(5)
    ]
    expected = cross_val_predict(
        estimator, FEATURES, LABELS, cv=PredefinedSplit(fold_of), method="predict_proba"
    )
    assert out_of_fold(by_fold, fold_of).tolist() == expected.astype(np.float32).tolist()


def test_those_of_our_classifiers_equal_cross_val_predict() -> None:
    rows = row_space([FEATURES])
    splits = [
        Split(
            f"fold {fold}",
            "repeated",
            None,
            np.flatnonzero(fold_of != fold),
            np.flatnonzero(fold_of == fold),
        )
        for fold in range(5)
    ]
    by_fold = [
        fit.proba(np.arange(len(LABELS)))
        for fit in fits(
            "logistic_regression",
            ClassifierSettings(),
            rows=rows,
            labels=LABELS,
            splits=splits,
            seed=1,
        )
    ]
    expected = cross_val_predict(
        LogisticRegression(C=100.0, tol=1e-6, max_iter=10_000),
        normalised(FEATURES),
        LABELS,
        cv=PredefinedSplit(fold_of),
        method="predict_proba",
    )
    np.testing.assert_allclose(out_of_fold(by_fold, fold_of), expected, atol=2e-3)


def test_images_in_no_fold_have_none_and_are_averaged_over_all_models() -> None:
    folds = np.array([0, 1, -1, 1, -1])
    by_fold = [np.full((5, 2), value, np.float32) for value in (0.25, 0.75)]
    assert out_of_fold(by_fold, folds)[:, 0].tolist()[:2] == [0.25, 0.75]
    assert np.isnan(out_of_fold(by_fold, folds)[[2, 4]]).all()
    assert averaged_models(by_fold, folds)[[2, 4]].tolist() == [[0.5, 0.5]] * 2
    assert np.isnan(averaged_models(by_fold, folds)[folds >= 0]).all()


def test_other_labels_in_a_fold_leave_what_is_said_of_it_as_it_is() -> None:
    altered = LABELS.copy()
    altered[fold_of == 2] = RANDOM.permutation(altered[fold_of == 2])
    assert (altered != LABELS).any()

    def fold_bytes(labels: np.ndarray) -> bytes:
        models = [
            LogisticRegression().fit(FEATURES[fold_of != fold], labels[fold_of != fold])
            for fold in range(5)
        ]
        by_fold = [model.predict_proba(FEATURES) for model in models]
        return out_of_fold(by_fold, fold_of)[fold_of == 2].tobytes()

    assert fold_bytes(LABELS) == fold_bytes(altered)


class TestSideBySide:
    def test_sets_columns_model_by_model(self) -> None:
        probas = {"a": np.array([[0.1, 0.9]]), "b": np.array([[0.4, 0.6]])}
        matrix = side_by_side(probas, dict.fromkeys(probas, ("x", "y")))
        assert matrix.dtype == np.float32
        assert matrix.tolist() == np.array([[0.1, 0.9, 0.4, 0.6]], np.float32).tolist()

    def test_refuses_classes_in_another_order(self) -> None:
        probas = {"a": np.ones((1, 2)), "b": np.ones((1, 2))}
        with pytest.raises(
            InvalidInput, match=r"b: expected the classes of a .*\(x, y\), got y, x"
        ):
            side_by_side(probas, {"a": ["x", "y"], "b": ["y", "x"]})
