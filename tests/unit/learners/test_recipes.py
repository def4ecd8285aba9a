"""The recipe's parts against their formulas and against hand results."""

import math
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import RecipeSettings
from flowers17.learners.recipes import OneCycle, mixup, optimizer


def _value(rate: Any) -> float:
    return float(keras.ops.convert_to_numpy(rate))


class TestOneCycle:
    @pytest.mark.parametrize("warmup", [0.0, 0.2, 0.5])
    def test_is_a_line_up_and_half_a_cosine_down(self, warmup: float) -> None:
        highest, n_steps = 0.05, 40
        rates = [_value(OneCycle(highest, n_steps, warmup)(step)) for step in range(n_steps)]
        expected = []
        for step in range(n_steps):
            progress = (step + 1) / n_steps
            fall = (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
            expected.append(highest * (progress / warmup if progress < warmup else fall))
        np.testing.assert_allclose(rates, expected, atol=1e-8)
        assert max(rates) <= highest * (1 + 1e-6)
        assert rates[-1] == pytest.approx(0, abs=1e-9)

    def test_peaks_at_the_end_of_the_rise(self) -> None:
        rates = [_value(OneCycle(0.1, 100, 0.2)(step)) for step in range(100)]
        assert int(np.argmax(rates)) == 19
        assert rates[19] == pytest.approx(0.1)
        assert rates[9] == pytest.approx(0.05)

    def test_is_what_the_optimizer_follows(self) -> None:
        recipe = RecipeSettings(epochs=3, learning_rate=0.2, schedule="one-cycle", warmup=0.5)
        update_rule = optimizer(recipe, steps_per_epoch=4)
        variable = keras.Variable([1.0, 1.0])
        update_rule.build([variable])
        schedule, expected = OneCycle(0.2, 12, 0.5), np.float32(1)
        for step in range(12):
            update_rule.apply([np.ones(2, np.float32)])
            expected -= np.float32(_value(schedule(step)))
            np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-6)

    def test_survives_being_written_down(self) -> None:
        schedule = OneCycle(0.05, 40, 0.2)
        restored = OneCycle.from_config(schedule.get_config())
        assert [_value(restored(step)) for step in range(40)] == [
            _value(schedule(step)) for step in range(40)
        ]


def _after_a_step(recipe: RecipeSettings, name: str, value: float, gradient: float) -> float:
    variable = keras.Variable([value], name=name)
    update_rule = optimizer(recipe, steps_per_epoch=1)
    update_rule.build([variable])
    update_rule.apply([np.array([gradient], np.float32)])
    return float(keras.ops.convert_to_numpy(variable)[0])


class TestOptimizer:
    def test_is_plain_gradient_descent_by_default(self) -> None:
        after = _after_a_step(RecipeSettings(learning_rate=0.5), "kernel", 2.0, 3.0)
        assert after == pytest.approx(2.0 - 0.5 * 3.0)

    def test_nesterov_momentum_is_the_hand_result(self) -> None:
        recipe = RecipeSettings(learning_rate=0.5, momentum=0.9)
        variable = keras.Variable([2.0], name="kernel")
        update_rule = optimizer(recipe, steps_per_epoch=1)
        update_rule.build([variable])
        value, velocity = 2.0, 0.0
        for gradient in (3.0, -1.0, 0.5):
            update_rule.apply([np.array([gradient], np.float32)])
            velocity = 0.9 * velocity - 0.5 * gradient
            value += 0.9 * velocity - 0.5 * gradient
            assert float(keras.ops.convert_to_numpy(variable)[0]) == pytest.approx(value)

    def test_weights_decay_by_their_share_times_the_rate(self) -> None:
        recipe = RecipeSettings(learning_rate=0.5, weight_decay=0.1)
        assert _after_a_step(recipe, "kernel", 2.0, 0.0) == pytest.approx(2.0 * (1 - 0.5 * 0.1))

    @pytest.mark.parametrize("name", ["bias", "beta", "gamma"])
    def test_biases_and_norms_do_not_decay(self, name: str) -> None:
        recipe = RecipeSettings(learning_rate=0.5, weight_decay=0.1)
        assert _after_a_step(recipe, name, 2.0, 0.0) == 2.0

    def test_in_a_network_only_kernels_decay(self) -> None:
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(2, 3)(inputs)
        x = keras.layers.BatchNormalization()(x)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
        for variable in model.trainable_variables:
            variable.assign(np.ones(variable.shape))
        update_rule = optimizer(
            RecipeSettings(learning_rate=0.5, weight_decay=0.1), steps_per_epoch=1
        )
        update_rule.build(model.trainable_variables)
        update_rule.apply(
            [np.zeros(variable.shape, np.float32) for variable in model.trainable_variables]
        )
        changed = {
            variable.name
            for variable in model.trainable_variables
            if not (keras.ops.convert_to_numpy(variable) == 1).all()
        }
        assert changed == {"kernel"}


class TestMixedBatch:
    def test_is_the_hand_result(self) -> None:
        rng = np.random.default_rng(3)
        share = np.float32(rng.beta(0.2, 0.2))
        partners = rng.permutation(4)
        images = np.arange(4 * 2 * 2 * 3, dtype=np.float32).reshape(4, 2, 2, 3)
        targets = np.eye(4, dtype=np.float32)
        blended, blended_targets = mixup(images, targets, 0.2, np.random.default_rng(3))
        assert (blended.dtype, blended_targets.dtype) == (np.float32, np.float32)
        for index in range(4):
            by_hand = share * images[index] + (1 - share) * images[partners[index]]
            np.testing.assert_array_equal(blended[index], by_hand)
            by_hand = share * targets[index] + (1 - share) * targets[partners[index]]
            np.testing.assert_array_equal(blended_targets[index], by_hand)

    def test_keeps_the_range_of_pixels_and_the_sum_of_targets(self) -> None:
        rng = np.random.default_rng(0)
        images = rng.random((9, 3, 3, 3), dtype=np.float32)
        targets = np.eye(3, dtype=np.float32)[np.arange(9) % 3]
        for _ in range(50):
            blended, blended_targets = mixup(images, targets, 0.2, rng)
            assert 0 <= blended.min() <= blended.max() <= 1
            np.testing.assert_allclose(blended_targets.sum(axis=1), 1, rtol=1e-6)

    def test_leaves_its_arguments_alone(self) -> None:
        images, targets = np.ones((2, 1, 1, 3), np.float32), np.eye(2, dtype=np.float32)
        mixup(images, targets, 1.0, np.random.default_rng(0))
        assert images.min() == 1
        np.testing.assert_array_equal(targets, np.eye(2))
