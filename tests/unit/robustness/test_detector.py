"""Network and detector as one model are the product by hand; thresholds are exact."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from flowers17.errors import InvalidInput
from flowers17.robustness.detector import (
    STEP_SIGMA,
    adversarial_scores,
    blurred_descent,
    examples,
    initial_detector,
    joint_model,
    refusal_threshold,
    runner_up_classes,
)
from flowers17.robustness.gradients import loss_gradients
from tests.unit.robustness.victim_models import (
    N_CLASSES,
    SHAPE,
    images,
    linear,
    linear_gradient,
    weights,
)

SLOPES = np.random.default_rng(8).normal(size=(60, 2)).astype(np.float32)
THRESHOLD, ODDS = 0.3, 3 / 7


def _alarm(scale: float = 1) -> keras.Model:
    inputs = keras.Input(SHAPE)
    dense = keras.layers.Dense(2)
    model = keras.Model(inputs, keras.layers.Softmax()(dense(keras.layers.Flatten()(inputs))))
    dense.set_weights([scale * SLOPES, np.zeros(2, np.float32)])
    return model


def _by_hand(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the classes, and of a refusal, in float64."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    odds = np.exp(flat @ weights())
    alarm = flat @ (SLOPES[:, 1] - SLOPES[:, 0]).astype(np.float64) - np.log(ODDS)
    return odds / odds.sum(axis=1, keepdims=True), 1 / (1 + np.exp(-alarm))


def test_the_joint_model_is_the_product_of_both_by_hand() -> None:
    x = images(20) / 8
    proba = np.asarray(joint_model(linear(), _alarm(), THRESHOLD).predict_on_batch(x))
    classes, refused = _by_hand(x)
    np.testing.assert_allclose(proba[:, :-1], classes * (1 - refused)[:, None], rtol=1e-4)
    np.testing.assert_allclose(proba[:, -1], refused, rtol=1e-4)
    # One half lies where the detector's score is the threshold.
    assert ((proba[:, -1] >= 0.5) == (adversarial_scores(_alarm(), x) >= THRESHOLD)).all()


def test_its_gradient_towards_a_class_is_that_of_both_losses_by_hand() -> None:
    x, targets = images(6) / 8, np.arange(6) % N_CLASSES
    gradients = loss_gradients(joint_model(linear(), _alarm(), THRESHOLD), x, targets)
    classes, refused = _by_hand(x)
    of_network = (classes - np.eye(N_CLASSES)[targets]) @ weights().T.astype(np.float64)
    of_alarm = refused[:, None] * (SLOPES[:, 1] - SLOPES[:, 0])
    np.testing.assert_allclose(gradients.reshape(6, -1), of_network + of_alarm, atol=1e-4)


def test_examples_hold_as_many_clean_as_adversarial_images_row_by_row() -> None:
    clean = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    training = examples(clean, [clean + 10, clean + 20], np.array([0, 2]), np.array([3]))
    values = training.inputs[:, 0, 0, 0]
    assert values[training.train].tolist() == [0, 2, 0, 2, 10, 12, 20, 22]
    assert training.labels[training.train].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert values[training.validation].tolist() == [3, 3, 13, 23]
    assert training.n_classes == 2


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_no_more_clean_images_are_refused_than_allowed(share: float) -> None:
    clean = np.random.default_rng(3).random(200)
    assert (clean >= refusal_threshold(clean, share)).sum() == int(200 * share)


@pytest.mark.parametrize(
    ("scores", "share", "n_refused"),
    [
        ([0.1, 0.2, 0.9, 0.9, 0.9], 0.4, 0),  # two may be, three are equal
        ([0.1, 0.9, 0.9, 0.9, 1.0], 0.4, 1),
        ([0.1, 0.2, 0.9, 0.9, 0.9], 0.6, 3),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 0.9, 0),
        ([0.0, 0.0, 0.0, 0.0, 0.0], 0.2, 0),
        ([0.1, 0.2, 0.3, 0.4, 1.0], 0.0, 0),
        ([0.1, 0.2, 1.0, 1.0, 1.0], 0.4, 0),
        ([0.1, 0.2, 0.3, 0.4, 1 - 2**-24], 0.0, 0),
        ([0.1, 0.2, 0.3, 0.4, 0.9], 0.0, 0),
    ],
)
def test_equal_scores_are_refused_all_or_none_and_the_model_takes_the_threshold(
    scores: list[float], share: float, n_refused: int
) -> None:
    clean = np.array(scores, np.float32)
    threshold = refusal_threshold(clean, share)
    assert (clean >= threshold).sum() == n_refused
    joint_model(linear(), _alarm(), threshold)


def test_an_infinite_threshold_leaves_the_network_unchanged() -> None:
    x, targets = images(6) / 8, np.arange(6) % N_CLASSES
    joint = joint_model(linear(), _alarm(1000), refusal_threshold(np.ones(3, np.float32), 0.5))
    proba = np.asarray(joint.predict_on_batch(x))
    np.testing.assert_allclose(proba[:, :-1], linear().predict_on_batch(x), rtol=1e-5)
    assert not proba[:, -1].any()
    np.testing.assert_allclose(
        loss_gradients(joint, x, targets), loss_gradients(linear(), x, targets), atol=1e-6
    )


def test_a_threshold_of_1_refuses_images_with_score_1() -> None:
    x = images(20)
    alarm = _alarm(20)
    joint = joint_model(linear(), alarm, 1.0)
    proba = np.asarray(joint.predict_on_batch(x))
    certain = adversarial_scores(alarm, x) == 1
    assert 0 < certain.sum() < len(x)
    assert ((proba[:, -1] >= 0.5) == certain).all()
    assert np.isfinite(loss_gradients(joint, x, np.zeros(20, int))).all()


def test_runners_up_are_the_best_classes_that_are_not_the_label() -> None:
    proba = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert runner_up_classes(proba, np.array([0, 1, 2])).tolist() == [1, 0, 0]


def test_smooth_steps_on_a_linear_model_follow_its_blurred_gradient() -> None:
    x, targets = images(3), np.arange(3)
    adversarial = blurred_descent(linear(), x, targets, epsilon=0.01, n_steps=1)
    blurred = ndimage.gaussian_filter(linear_gradient(x, targets), (0, STEP_SIGMA, STEP_SIGMA, 0))
    largest = np.abs(blurred).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(adversarial, np.clip(x - 0.01 * blurred / largest, 0, 1), atol=1e-5)


def test_smooth_steps_stay_within_the_budget() -> None:
    x = images(3)
    adversarial = blurred_descent(linear(), x, np.arange(3), epsilon=0.02, n_steps=9)
    assert np.abs(adversarial.astype(np.float64) - x).max() <= 0.02 + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_a_detector_sees_nothing_of_a_flat_image() -> None:
    detector = initial_detector(16, 1)
    flat = np.stack([np.full((16, 16, 3), level, np.float32) for level in (0.0, 0.3, 0.9)])
    assert np.ptp(adversarial_scores(detector, flat)) < 1e-4


def test_a_detector_starts_the_same_by_seed() -> None:
    first, again, another = (initial_detector(16, seed).get_weights()[0] for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != another.tobytes()


@pytest.mark.parametrize("score", [0.0, 1.5, -1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(score: float) -> None:
    with pytest.raises(InvalidInput, match="threshold: expected a score above 0, at most 1"):
        joint_model(linear(), _alarm(), score)


@pytest.mark.parametrize(("clean_scores", "share"), [([], 0.1), ([0.5], 1.0), ([0.5], -0.1)])
def test_a_threshold_of_nothing_is_refused(clean_scores: list[float], share: float) -> None:
    with pytest.raises(InvalidInput, match="threshold: expected scores"):
        refusal_threshold(np.array(clean_scores), share)
