"""FGSM: by hand on a linear model, one gradient for many budgets, independent of the batch."""

import numpy as np
import pytest

from flowers17.robustness.fgsm import fgsm
from tests.unit.robustness import victim_models
from tests.unit.robustness.victim_models import N_CLASSES, images, linear, linear_gradient

BUDGETS = [0.01, 0.03, 0.1, 0.25, 0.5, 1.0]
LABELS = np.arange(12) % N_CLASSES
TARGETS = (LABELS + 1) % N_CLASSES


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("epsilon", BUDGETS)
def test_on_a_linear_model_is_that_by_hand(epsilon: float, targeted: bool) -> None:
    x = images(12)
    result = fgsm(linear(), x, LABELS, epsilons=[epsilon], targets=TARGETS if targeted else None)[0]
    gradient = linear_gradient(x, TARGETS if targeted else LABELS)
    sign = np.sign(gradient) * (-1 if targeted else 1)
    by_hand = np.clip(x + epsilon * sign, 0, 1)
    np.testing.assert_allclose(result.adversarial, by_hand, atol=1e-6)
    goals = TARGETS if targeted else LABELS
    proba = np.asarray(linear().predict_on_batch(result.adversarial))
    np.testing.assert_allclose(result.confidence_after, proba[np.arange(12), goals], rtol=1e-5)
    reached = result.predicted == goals
    assert result.success.tolist() == (reached if targeted else ~reached).tolist()
    assert result.linf.tolist() == [
        float(np.abs(perturbation).max())
        for perturbation in result.adversarial.astype(np.float64) - x
    ]
    assert (result.linf <= epsilon + 1e-6).all()
    assert (result.n_gradients == 1).all()


@pytest.mark.parametrize("targets", [None, TARGETS])
def test_many_budgets_equal_single_calls(targets: np.ndarray | None) -> None:
    model, x = linear(), images(12)
    several = fgsm(model, x, LABELS, epsilons=BUDGETS, targets=targets)
    for epsilon, result in zip(BUDGETS, several, strict=True):
        alone = fgsm(model, x, LABELS, epsilons=[epsilon], targets=targets)[0]
        for name, value in vars(alone).items():
            assert getattr(result, name).tobytes() == value.tobytes(), name


def test_an_array_of_one_budget_gives_a_list() -> None:
    assert len(fgsm(linear(), images(12), LABELS, epsilons=np.array([0.1]))) == 1


def test_a_budget_of_zero_changes_nothing() -> None:
    x = images(12)
    result = fgsm(linear(), x, LABELS, epsilons=[0])[0]
    assert result.adversarial.tobytes() == x.tobytes()
    assert result.confidence_before.tolist() == result.confidence_after.tolist()
    assert not result.l0.any()
    assert not result.l2.any()


def test_an_image_has_the_same_result_in_any_batch_and_order() -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(200, 9)
    every = fgsm(model, x, labels, epsilons=[0.1])[0]
    for rows in (np.arange(200)[::-1], np.array([150]), np.arange(3, 140, 2)):
        result = fgsm(model, x[rows], labels[rows], epsilons=[0.1])[0]
        for name, value in vars(result).items():
            assert value.tobytes() == getattr(every, name)[rows].tobytes(), name


def test_a_batch_larger_than_one_pass_is_that_by_hand() -> None:
    x = images(300)
    labels = np.arange(300) % N_CLASSES
    result = fgsm(linear(), x, labels, epsilons=[0.1])[0]
    gradient = linear_gradient(x, labels)
    np.testing.assert_allclose(
        result.adversarial, np.clip(x + 0.1 * np.sign(gradient), 0, 1), atol=1e-6
    )
