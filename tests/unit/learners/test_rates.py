"""Discriminative rates: each variable against a plain optimizer at its own rate, to the byte."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import RecipeSettings
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.recipes import DiscriminativeOptimizer, optimizer
from tests.support.tiny_training import EVERYTHING, PLAIN, STATEFUL, Stopped, fresh, trained

RECIPES = {
    "sgd": RecipeSettings(learning_rate=0.1),
    "momentum": RecipeSettings(learning_rate=0.1, momentum=0.9, weight_decay=0.05),
    "adam": RecipeSettings(learning_rate=0.1, optimizer="adam"),
    "everything": RecipeSettings(
        epochs=2, learning_rate=0.1, optimizer="adam", schedule="one-cycle", weight_decay=0.05
    ),
}
FACTORS = (0.16, 1.0, 0.4, 0.4)
# Of a convolution, a batch norm and two dense layers, the first two as one block.
OF_BLOCKS = (*[0.25] * 4, *[0.5] * 2, *[1.0] * 2)
SGD = EVERYTHING.model_copy(update={"epochs": 2, "batch_size": 20, "resolutions": (1.0,)})
ADAM = SGD.model_copy(update={"optimizer": "adam", "learning_rate": 1e-3})


def _gradients(step: int) -> list[np.ndarray]:
    return list(np.random.default_rng(step).standard_normal((4, 2, 3)).astype(np.float32))


def _after(
    recipe: RecipeSettings, factors: Sequence[float], *, n_steps: int, start: float, **options: Any
) -> list[np.ndarray]:
    """Values of four variables after some steps of their own gradients."""
    variables = [keras.Variable(np.full((2, 3), start), name="kernel") for _ in range(4)]
    update_rule = optimizer(recipe, 3, factors)
    update_rule.build(variables)
    for step in range(n_steps):
        gradients = options.get("gradients") or _gradients(step)
        update_rule.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
    assert int(update_rule.iterations) == n_steps
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


class TestDiscriminative:
    @pytest.mark.parametrize("name", RECIPES)
    def test_moves_each_variable_as_a_plain_optimizer_at_its_rate(self, name: str) -> None:
        recipe = RECIPES[name]
        variables = _after(recipe, FACTORS, n_steps=5, start=1.0)
        full = _after(recipe, (), n_steps=5, start=1.0)
        for index, factor in enumerate(FACTORS):
            rate = {"learning_rate": factor * recipe.learning_rate}
            alone = _after(recipe.model_copy(update=rate), (), n_steps=5, start=1.0)
            assert variables[index].tobytes() == alone[index].tobytes()
            assert np.array_equal(variables[index], full[index]) == (factor == 1)

    def test_a_step_of_gradient_descent_is_exactly_its_part_of_a_full_one(self) -> None:
        halves = (1.0, 0.5, 0.25, 0.125)
        full = _after(RECIPES["sgd"], (), n_steps=1, start=0.0)
        variables = _after(RECIPES["sgd"], halves, n_steps=1, start=0.0)
        for factor, variable, full_step in zip(halves, variables, full, strict=True):
            assert np.array_equal(variable, np.float32(factor) * full_step)

    def test_the_first_step_of_adam_has_the_size_of_its_rate_whatever_the_gradient(self) -> None:
        signs = [np.sign(gradient) for gradient in _gradients(0)]
        gradients = [10**exponent * sign for exponent, sign in enumerate(signs)]
        variables = _after(RECIPES["adam"], FACTORS, n_steps=1, start=0.0, gradients=gradients)
        for factor, variable, sign in zip(FACTORS, variables, signs, strict=True):
            np.testing.assert_allclose(variable, -factor * 0.1 * sign, rtol=1e-4)

    def test_weights_decay_by_their_own_rate(self) -> None:
        none = [np.zeros((2, 3), np.float32)] * 4
        variables = _after(RECIPES["momentum"], FACTORS, n_steps=1, start=2.0, gradients=none)
        for factor, variable in zip(FACTORS, variables, strict=True):
            np.testing.assert_allclose(variable, 2.0 * (1 - factor * 0.1 * 0.05), rtol=1e-6)

    def test_tells_the_highest_rate(self) -> None:
        recipe = RECIPES["everything"]
        combined, plain = optimizer(recipe, 3, FACTORS), optimizer(recipe, 3)
        assert isinstance(combined, DiscriminativeOptimizer)
        assert float(combined.learning_rate) == float(plain.learning_rate)

    def test_where_all_rates_are_one_is_the_plain_optimizer(self) -> None:
        for name, recipe in RECIPES.items():
            assert type(optimizer(recipe, 3, (1.0,) * 4)) is type(optimizer(recipe, 3)), name


class TestTraining:
    @pytest.mark.parametrize(
        "recipe", [SGD, pytest.param(ADAM, marks=pytest.mark.long)], ids=["sgd", "adam"]
    )
    def test_a_step_takes_each_variable_where_a_training_at_its_rate_does(
        self, tmp_path: Path, recipe: RecipeSettings
    ) -> None:
        changes = {"epochs": 1, "schedule": "constant"}
        one_step = recipe.model_copy(update=changes)
        end = trained(tmp_path / "parts", one_step, STATEFUL, rates=OF_BLOCKS)
        indices = _trainable_indices()
        for factor in (0.25, 0.5, 1.0):
            rate = {"learning_rate": factor * recipe.learning_rate}
            slower = one_step.model_copy(update=rate)
            alone = trained(tmp_path / f"{factor}", slower, STATEFUL)
            own = [
                index
                for index, own_factor in zip(indices, OF_BLOCKS, strict=True)
                if own_factor == factor
            ]
            assert [end.weights[index] for index in own] == [alone.weights[index] for index in own]
            assert end.weights != alone.weights

    def test_at_equal_rates_ends_with_the_bytes_of_one_without(self, tmp_path: Path) -> None:
        plain = trained(tmp_path / "plain", SGD, STATEFUL)
        assert trained(tmp_path / "equal", SGD, STATEFUL, rates=(1.0,) * 8) == plain

    @pytest.mark.parametrize(
        "recipe", [pytest.param(SGD, marks=pytest.mark.long), ADAM], ids=["sgd", "adam"]
    )
    def test_resumed_ends_with_the_same_bytes(self, tmp_path: Path, recipe: RecipeSettings) -> None:
        folder = tmp_path / "checkpoints"

        def copy(epoch: int) -> None:
            if epoch == 1:
                shutil.copytree(folder, tmp_path / "resumed")

        uninterrupted = trained(folder, recipe, STATEFUL, rates=OF_BLOCKS, after_epoch=copy)
        assert trained(tmp_path / "resumed", recipe, STATEFUL, rates=OF_BLOCKS) == uninterrupted

    def test_at_other_rates_is_another_training(self, tmp_path: Path) -> None:
        with pytest.raises(Stopped):
            trained(tmp_path, PLAIN, STATEFUL, rates=OF_BLOCKS, stop_after=1)
        with pytest.raises(InvalidInput, match="another configuration"):
            trained(tmp_path, PLAIN, STATEFUL)

    @pytest.mark.parametrize(
        ("rates", "message"),
        [
            ((1.0,) * 7, "got 7, from 1.0 to 1.0"),
            ((*[1.0] * 7, 0.0), "got 8, from 0.0 to 1.0"),
            ((*[1.0] * 7, -0.5), "got 8, from -0.5 to 1.0"),
            ((*[1.0] * 7, 1.5), "got 8, from 1.0 to 1.5"),
            ((*[1.0] * 7, float("nan")), "got 8, from"),
        ],
        ids=["too few", "zero", "negative", "above one", "no number"],
    )
    def test_at_rates_that_do_not_fit_is_refused(
        self, tmp_path: Path, rates: tuple[float, ...], message: str
    ) -> None:
        with pytest.raises(InvalidSettings, match=r"none or 8 rates in \(0, 1\]") as caught:
            trained(tmp_path / "checkpoints", PLAIN, STATEFUL, rates=rates)
        assert message in str(caught.value)
        assert list(tmp_path.iterdir()) == []


def _trainable_indices() -> list[int]:
    """Indices of a network's trainable variables among its weights."""
    model = fresh(STATEFUL, any_size=True)
    indices = {id(variable): index for index, variable in enumerate(model.weights)}
    return [indices[id(variable)] for variable in model.trainable_variables]
