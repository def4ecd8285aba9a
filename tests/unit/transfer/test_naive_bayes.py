"""Naive Bayes by matrix products equals scikit-learn's."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from flowers17.transfer import naive_bayes
from flowers17.transfer.naive_bayes import class_moments, naive_bayes_proba
from flowers17.transfer.rowspace import normalised
from tests.unit.transfer.made_features import feature_case


@pytest.mark.parametrize("block", [100, 4096])
@pytest.mark.parametrize("offset", [0, 1000])
def test_probabilities_equal_scikit_learn(
    block: int, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naive_bayes, "COLUMNS_PER_BLOCK", block)
    case = feature_case(widths=(350,))
    columns = normalised(case.maps[0]).astype(np.float64) + offset
    columns[:, 7] = offset  # a column that never varies
    split = case.splits[0]
    train, labels = columns[split.train], case.labels[split.train]
    moments, evaluated = class_moments(columns, split.train, labels), columns[split.validation]
    for smoothing in (1e-6, 1e-2, 1.0):
        plain = GaussianNB(var_smoothing=smoothing).fit(train, labels)
        proba = naive_bayes_proba(moments, evaluated, smoothing)
        np.testing.assert_allclose(proba, plain.predict_proba(evaluated), atol=1e-6)


def test_classes_of_unequal_size_have_unequal_priors() -> None:
    train = np.array([[0.0, 1], [1, 0], [0, 0], [1, 1], [0.5, 0.4]])
    labels = np.array([0, 0, 0, 1, 1])
    plain = GaussianNB(var_smoothing=0.1).fit(train, labels)
    np.testing.assert_allclose(
        naive_bayes_proba(class_moments(train, np.arange(len(train)), labels), train, 0.1),
        plain.predict_proba(train),
        rtol=1e-9,
    )
