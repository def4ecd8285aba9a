"""Averages: by hand, and weights that no convex solver improves on."""

import numpy as np
import pytest
from scipy.optimize import minimize

from flowers17.ensemble.predictions import averaged, best_weights, weighted
from flowers17.errors import InvalidInput

N_CLASSES = 4


def _probas(n_members: int, n: int, *, seed: int, skill: float = 2.0) -> np.ndarray:
    """Return probabilities (m, n, c) of members of growing skill, and of labels 0, 1, 2, 3, 0 …"""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_members, n, N_CLASSES))
    strength = np.linspace(0, skill, n_members)[:, None]
    logits[:, np.arange(n), _labels(n)] += strength
    proba = np.exp(logits)
    return proba / proba.sum(axis=2, keepdims=True)


def _labels(n: int) -> np.ndarray:
    return np.arange(n) % N_CLASSES


def _cross_entropy(weights: np.ndarray, probas: np.ndarray, labels: np.ndarray) -> float:
    of_truth = probas[:, np.arange(len(labels)), labels]
    return float(-np.log(weights @ of_truth).mean())


def test_an_average_is_the_mean_over_models() -> None:
    probas = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5]]])
    assert averaged(probas).tolist() == [[0.25, 0.75], [0.75, 0.25]]


def test_a_weighted_average_is_that_by_hand() -> None:
    probas = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5]]])
    average = weighted(probas, np.array([0.25, 0.75]))
    assert average.tolist() == [[0.125, 0.875], [0.625, 0.375]]


def test_equal_weights_give_the_average() -> None:
    probas = _probas(3, 40, seed=1).astype(np.float32)
    average = weighted(probas, np.full(3, 1 / 3))
    assert average.dtype == np.float64
    np.testing.assert_allclose(average, averaged(probas), rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_best_weights_are_those_of_a_constrained_solver(seed: int) -> None:
    probas, labels = _probas(4, 200, seed=seed), _labels(200)
    weights = best_weights(probas, labels)
    optimum = minimize(
        _cross_entropy,
        np.full(4, 0.25),
        args=(probas, labels),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert optimum.success
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
    assert _cross_entropy(weights, probas, labels) == pytest.approx(optimum.fun, abs=1e-6)
    np.testing.assert_allclose(weights, optimum.x, atol=2e-3)


def test_two_models_right_on_known_shares_of_the_images_get_these_shares() -> None:
    """One is sure where the other knows nothing: the likelihood is 0.75 log w + 0.25 log(1 - w)."""
    probas = np.full((2, 8, 2), 1e-12)
    labels = np.zeros(8, np.int64)
    probas[0, :6, 0] = 1
    probas[1, 6:, 0] = 1
    np.testing.assert_allclose(best_weights(probas, labels), [0.75, 0.25], atol=1e-6)


def test_a_model_given_twice_shares_the_weight_it_had_alone() -> None:
    probas, labels = _probas(3, 300, seed=9), _labels(300)
    single_weights = best_weights(probas, labels)
    doubled_weights = best_weights(np.concatenate([probas, probas[2:]]), labels)
    assert doubled_weights[2] == pytest.approx(doubled_weights[3], abs=1e-12)
    np.testing.assert_allclose(
        [doubled_weights[0], doubled_weights[1], doubled_weights[2] + doubled_weights[3]],
        single_weights,
        atol=2e-3,
    )


def test_a_model_that_knows_the_truth_takes_all() -> None:
    probas, labels = _probas(3, 100, seed=3), _labels(100)
    probas[1] = np.eye(N_CLASSES)[labels]
    assert best_weights(probas, labels)[1] == pytest.approx(1, abs=1e-6)


def test_an_image_on_which_all_are_wrong_changes_no_weight() -> None:
    probas, labels = _probas(3, 100, seed=4), _labels(100)
    hopeless = np.zeros((3, 1, N_CLASSES))
    hopeless[:, 0, 1] = 1
    weights = best_weights(np.concatenate([probas, hopeless], axis=1), np.append(labels, 0))
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights, best_weights(probas, labels), atol=2e-3)


@pytest.mark.parametrize("shape", [(3, 9, 4), (3, 10), (10, 4, 3)])
def test_probabilities_of_other_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"expected probabilities \(models, 10, classes\)"):
        best_weights(np.ones(shape), np.zeros(10, np.int64))
