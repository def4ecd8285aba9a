"""Images, labels, targets, budgets and models that no attack can use: each a clear error."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.base import MAX_BATCH_SIZE
from flowers17.robustness.fgsm import fgsm, random_noise
from flowers17.robustness.pgd import pgd
from tests.unit.robustness.victim_models import N_CLASSES, SHAPE, images, linear

X = images(6)
LABELS = np.arange(6) % N_CLASSES
TARGETS = (LABELS + 1) % N_CLASSES


def _pgd(model: Any, x: Any, labels: Any, *, epsilon: Any = 0.1, **settings: Any) -> Any:
    return pgd(
        model, x, labels, **({"step": 0.1, "n_steps": 1, "seed": 0} | settings), epsilon=epsilon
    )


def _fgsm(model: Any, x: Any, labels: Any, *, epsilon: Any = 0.1, **settings: Any) -> Any:
    return fgsm(model, x, labels, epsilons=[epsilon], **settings)[0]


def _noise(model: Any, x: Any, labels: Any, *, epsilon: Any = 0.1) -> Any:
    return random_noise(model, x, labels, epsilon=epsilon, seed=0)


ATTACKS = [_fgsm, _pgd, _noise]
every_attack = pytest.mark.parametrize("attack", ATTACKS)


def _with(value: float) -> np.ndarray:
    changed = X.copy()
    changed[2, 1, 1, 0] = value
    return changed


@every_attack
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (_with(1.001), r"expected values in \[0, 1\], got .* to 1.001; divide 8-bit values by 255"),
        (_with(-0.5), "got -0.5 to"),
        (_with(np.nan), "got nan to nan"),
        (_with(np.inf), "to inf"),
        (X.astype(np.float64), "expected float32 .* got float64"),
        ((X * 255).astype(np.uint8), "got uint8"),
        (X[0], r"\(n, h, w, c\) .* got float32 \(4, 5, 3\)"),
        (X[:0], r"at least one image, got float32 \(0, 4, 5, 3\)"),
        (X[:, :3], r"expected \(4, 5, 3\) as the model takes them, got \(3, 5, 3\)"),
        (X[..., :1], r"got \(4, 5, 1\)"),
    ],
)
def test_images(attack: Callable[..., Any], x: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"images: .*{message}"):
        attack(linear(), x, LABELS[: len(x)])


@every_attack
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:-1], r"expected int \(6,\), one an image, got int64 \(5,\)"),
        (LABELS.astype(float), "got float64"),
        (np.eye(3, dtype=int)[LABELS], r"got int64 \(6, 3\)"),
        (LABELS + 1, "expected 0 to 2, the model's classes, got 1 to 3"),
        (LABELS - 1, "got -1 to 1"),
    ],
)
def test_labels(attack: Callable[..., Any], labels: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"labels: {message}|labels: .*{message}"):
        attack(linear(), X, labels)


@pytest.mark.parametrize("attack", [_fgsm, _pgd])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (TARGETS + 1, "expected 0 to 2"),
        (TARGETS[:-1], r"expected int \(6,\)"),
        (TARGETS.astype(float), "got float64"),
        (LABELS, "expected another class than the label, got 0 for both of image 0"),
    ],
)
def test_targets(attack: Callable[..., Any], targets: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"targets: {message}|targets: .*{message}"):
        attack(linear(), X, LABELS, targets=targets)


@every_attack
@pytest.mark.parametrize("epsilon", [-0.1, np.nan, np.inf, None, "0.1", True])
def test_budgets(attack: Callable[..., Any], epsilon: Any) -> None:
    with pytest.raises(InvalidInput, match="epsilon: expected a number of 0 or more, got"):
        attack(linear(), X, LABELS, epsilon=epsilon)


@pytest.mark.parametrize("epsilon", [[0.1, -0.1], [np.nan], np.array([0.1, np.inf])])
def test_one_bad_budget_among_several(epsilon: Any) -> None:
    with pytest.raises(InvalidInput, match="epsilon: expected a number of 0 or more"):
        fgsm(linear(), X, LABELS, epsilons=epsilon)


def test_no_budget() -> None:
    with pytest.raises(InvalidInput, match="epsilons: expected at least one budget, got none"):
        fgsm(linear(), X, LABELS, epsilons=[])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0}, "step: expected a number above 0, got 0"),
        ({"step": -1.0}, "step: expected a number of 0 or more, got -1.0"),
        ({"step": np.nan}, "step: expected a number"),
        ({"n_steps": 0}, "n_steps: expected a whole number, 1 or more, got 0"),
        ({"n_steps": 2.5}, "n_steps: .* got 2.5"),
    ],
)
def test_settings_of_pgd(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _pgd(linear(), X, LABELS, **settings)


def _ending(activation: str | None, units: int = 3) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(units, activation=activation)]
    )


@every_attack
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_ending(None), "let it end in a softmax"),
        (_ending("sigmoid"), "let it end in a softmax"),
        (_ending("softmax", units=1), rf"two classes or more, got shape \({MAX_BATCH_SIZE}, 1\)"),
        (lambda x: np.full((len(x), 3), np.nan), "got values from nan"),
        (lambda x: np.full((len(x) - 1, 3), 1 / 3), rf"got shape \({MAX_BATCH_SIZE - 1}, 3\)"),
        (lambda x: np.ones(len(x)), rf"got shape \({MAX_BATCH_SIZE},\)"),
        (lambda x: np.tile([1.5, -0.5], (len(x), 1)), "got values from -0.5"),
    ],
)
def test_models_that_give_no_probabilities(
    attack: Callable[..., Any], model: Any, message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"model: expected probabilities.*{message}"):
        attack(model, X, np.zeros(6, np.int64))


@pytest.mark.parametrize("attack", [_fgsm, _pgd])
def test_a_function_without_gradients(attack: Callable[..., Any]) -> None:
    def forest(x: Any) -> np.ndarray:
        return np.eye(3)[(np.asarray(x).mean(axis=(1, 2, 3)) > 0.5).astype(int)]

    with pytest.raises(InvalidInput, match="that a gradient can be taken of, got function"):
        attack(forest, X, LABELS)
