"""PGD: equals FGSM where it should, stays within its budget, beats FGSM; noise beside it."""

from typing import Any

import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.fgsm import fgsm, random_noise
from flowers17.robustness.pgd import pgd, random_starts
from tests.unit.robustness import victim_models
from tests.unit.robustness.victim_models import N_CLASSES, images, linear

LABELS = np.arange(12) % N_CLASSES
TARGETS = (LABELS + 2) % N_CLASSES


@pytest.mark.parametrize("targets", [None, TARGETS])
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.4])
def test_one_step_from_the_image_equals_fgsm(epsilon: float, targets: Any) -> None:
    arguments = (linear(), images(12), LABELS)
    single_step = pgd(
        *arguments,
        epsilon=epsilon,
        step=epsilon,
        n_steps=1,
        targets=targets,
        random_start=False,
        seed=0,
    )
    single = fgsm(*arguments, epsilons=[epsilon], targets=targets)[0]
    for name, value in vars(single).items():
        assert getattr(single_step, name).tobytes() == value.tobytes(), name


def test_for_two_classes_a_linear_model_leads_every_start_to_the_corner_of_the_budget() -> None:
    import keras

    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
            keras.layers.Softmax(),
        ]
    )
    slopes = np.array([1, -2, 3, -4], np.float32)
    model.layers[1].set_weights([np.stack([slopes, -slopes], axis=1), np.zeros(2, np.float32)])
    x = (
        np.full((3, 2, 2, 1), 0.5, np.float32)
        + np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) / 10
    )
    result = pgd(model, x, np.array([0, 1, 0]), epsilon=0.1, step=0.05, n_steps=6, seed=1)
    side = np.array([-1, 1, -1]).reshape(3, 1, 1, 1)
    by_hand = x + 0.1 * side * np.sign(slopes).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(result.adversarial, by_hand, atol=1e-6)


def test_never_leaves_the_budget_or_the_range() -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(60, 8)
    result = pgd(model, x, labels, epsilon=0.05, step=0.03, n_steps=7, seed=3)
    assert (result.linf <= 0.05 + 1e-7).all()
    assert result.adversarial.min() >= 0
    assert result.adversarial.max() <= 1


def test_succeeds_more_often_than_fgsm_and_fgsm_more_often_than_noise() -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(300, 5)
    iterated = pgd(
        model, x, labels, epsilon=0.06, step=0.015, n_steps=10, random_start=False, seed=1
    )
    single = fgsm(model, x, labels, epsilons=[0.06])[0]
    noise = random_noise(model, x, labels, epsilon=0.06, seed=1)
    clean = (single.predicted_before != labels).mean()
    assert clean < 0.2
    assert iterated.success.mean() >= single.success.mean() > noise.success.mean() + 0.1
    assert not (single.success & ~iterated.success).any()


def test_restarts_only_add_successes_and_count_their_gradients() -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(100, 6)
    settings: dict[str, Any] = {"epsilon": 0.03, "step": 0.01, "n_steps": 4, "seed": 1}
    single = pgd(model, x, labels, **settings)
    restarted = pgd(model, x, labels, restarts=3, **settings)
    assert not (single.success & ~restarted.success).any()
    assert np.array_equal(restarted.adversarial[single.success], single.adversarial[single.success])
    failed = ~restarted.success
    assert failed.any()
    assert (restarted.confidence_after[failed] <= single.confidence_after[failed]).all()
    assert (restarted.n_gradients[failed] == 12).all()
    assert (restarted.n_gradients[single.success] == 4).all()


def test_a_further_loss_attacks_what_withstands_the_first_and_keeps_its_successes() -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(100, 6)
    settings: dict[str, Any] = {"epsilon": 0.03, "step": 0.01, "n_steps": 4, "seed": 1}
    first = pgd(model, x, labels, restarts=2, **settings)
    losses: Any = ("cross_entropy", "margin")
    both = pgd(model, x, labels, restarts=2, losses=losses, **settings)
    assert np.array_equal(both.adversarial[first.success], first.adversarial[first.success])
    assert both.success[first.success].all()
    assert (both.n_gradients[first.success] <= 8).all()
    assert (both.n_gradients[~both.success] == 16).all()
    with pytest.raises(InvalidInput, match="losses: expected one or more"):
        pgd(model, x, labels, losses=(), **settings)


def test_the_margin_fools_where_the_cross_entropy_is_led_astray_by_many_weak_classes() -> None:
    import keras

    # One pixel value: two weak classes gain together upwards, the strongest rival downwards.
    model = keras.Sequential(
        [
            keras.Input((1, 1, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
            keras.layers.Softmax(),
        ]
    )
    rising, falling = np.float32(1.0), np.float32(-1.2)
    slopes = np.array([[0.0, falling, rising, rising, rising]], np.float32)
    bias = np.array([1.0, 1.5, 0.0, 0.0, 0.0], np.float32)
    model.layers[1].set_weights([slopes, bias])
    x, labels = np.full((1, 1, 1, 1), 0.5, np.float32), np.array([0])
    settings: dict[str, Any] = {"epsilon": 0.2, "n_steps": 5, "random_start": False, "seed": 0}
    misled = pgd(model, x, labels, **settings)
    margin: Any = ("margin",)
    reached = pgd(model, x, labels, losses=margin, **settings)
    assert not misled.success.any()
    assert reached.success.all()


@pytest.mark.parametrize("restarts", [1, 2])
def test_an_image_has_the_same_result_in_any_batch_and_order(restarts: int) -> None:
    model = victim_models.trained_cnn()
    x, labels = victim_models.spots(150, 9)
    settings: dict[str, Any] = {"epsilon": 0.04, "step": 0.02, "n_steps": 3, "seed": 5}
    settings["restarts"] = restarts
    every = pgd(model, x, labels, **settings)
    for rows in (np.arange(150)[::-1], np.array([149]), np.arange(1, 150, 2)):
        result = pgd(model, x[rows], labels[rows], **settings)
        for name, value in vars(result).items():
            assert value.tobytes() == getattr(every, name)[rows].tobytes(), name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    x = images(5)
    first, again, another = (random_starts(x, 0.1, seed, 0) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != another.tobytes()
    assert random_starts(x, 0.1, 1, 1).tobytes() != first.tobytes()
    assert np.unique(np.sign(first - x)).tolist() == [-1, 1]


class TestNoise:
    def test_moves_each_feature_by_the_budget_unless_it_meets_a_limit(self) -> None:
        x = images(12)
        adversarial = random_noise(linear(), x, LABELS, epsilon=0.1, seed=1).adversarial
        down, up = np.clip(x - np.float32(0.1), 0, 1), np.clip(x + np.float32(0.1), 0, 1)
        assert ((adversarial == down) | (adversarial == up)).all()
        assert 0.4 < (adversarial == up).mean() < 0.6

    def test_depends_on_seed_and_image_alone(self) -> None:
        model, x = linear(), images(12)
        every = random_noise(model, x, LABELS, epsilon=0.1, seed=1).adversarial
        turned = random_noise(model, x[::-1], LABELS, epsilon=0.1, seed=1).adversarial
        assert turned[::-1].tobytes() == every.tobytes()
        another = random_noise(model, x, LABELS, epsilon=0.1, seed=2).adversarial
        assert another.tobytes() != every.tobytes()
