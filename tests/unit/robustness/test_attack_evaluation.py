"""Evaluation of attacks: on a linear model every number equals that by hand."""

import numpy as np
import pytest

from flowers17.config import (
    AttackName,
    AttackSettings,
    JsmaSettings,
    OnePixelSettings,
    TargetedSettings,
)
from flowers17.errors import InvalidInput
from flowers17.robustness.evaluation import (
    Victim,
    attack_arrays,
    epsilons,
    result_of_run,
    run_summaries,
)
from flowers17.robustness.fgsm import random_signs
from flowers17.robustness.goals import robust_mask, source_target_matrix

from .victim_models import N_CLASSES

SHAPE = (12, 12, 3)
N = 30
SETTINGS = AttackSettings(
    budgets=(1, 16),
    budget=4,
    pgd_steps=3,
    targeted=TargetedSettings(n_targets=2),
    jsma=JsmaSettings(gamma=0.1, variant="single"),
    one_pixel=OnePixelSettings(population=8, generations=2),
)


class Linear:
    """softmax(W x) of larger images: as Keras computes it, and by hand."""

    def __init__(self) -> None:
        import keras

        random = np.random.default_rng(5)
        self.w = random.normal(size=(432, N_CLASSES), scale=0.05).astype(np.float32)
        inputs = keras.Input(SHAPE)
        dense = keras.layers.Dense(N_CLASSES)
        outputs = keras.layers.Softmax()(dense(keras.layers.Flatten()(inputs)))
        self.model = keras.Model(inputs, outputs)
        dense.set_weights([self.w, np.zeros(N_CLASSES, np.float32)])

    def proba(self, x: np.ndarray) -> np.ndarray:
        logits = x.reshape(len(x), -1).astype(np.float64) @ self.w
        logits -= logits.max(axis=1, keepdims=True)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def gradient(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        residue = self.proba(x) - np.eye(N_CLASSES)[labels]
        return (residue @ self.w.T).reshape(x.shape)


@pytest.fixture(scope="module")
def victim() -> Linear:
    return Linear()


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    grid = np.random.default_rng(6).integers(0, 256, (N, *SHAPE))
    return grid.astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def labels(victim: Linear, clean: np.ndarray) -> np.ndarray:
    """Labels of which the model misclassifies the first five images."""
    predicted = victim.proba(clean).argmax(axis=1)
    return np.where(np.arange(N) < 5, (predicted + 1) % N_CLASSES, predicted)


def _run(
    victim: Linear,
    attack: AttackName,
    clean: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    linear = Victim(victim.proba, victim.model)
    return attack_arrays(attack, linear, clean, labels, targets, SETTINGS, 3)


def test_budgets_of_a_sweep_are_sorted() -> None:
    assert epsilons("noise", SETTINGS) == [1.0, 4.0, 16.0]
    assert epsilons("targeted", SETTINGS) == [4.0]
    assert epsilons("jsma", SETTINGS) == epsilons("one_pixel", SETTINGS) == [None]


@pytest.mark.parametrize("attack", ["fgsm", "noise"])
def test_counts_of_a_single_step_on_a_linear_model_equal_those_by_hand(
    victim: Linear, clean: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    arrays = _run(victim, attack, clean, labels)
    signs = random_signs(clean, 3)
    if attack == "fgsm":
        signs = np.sign(victim.gradient(clean, labels))
    runs = run_summaries(attack, arrays, labels, None, SETTINGS)
    for run, epsilon in zip(runs, (1, 4, 16), strict=True):
        perturbed = np.clip(clean + epsilon / 255 * signs, 0, 1)
        after = victim.proba(perturbed)
        robust = (after.argmax(axis=1) == labels) & (np.arange(N) >= 5)
        assert (run["epsilon"], run["n"], run["n_right"]) == (epsilon, N, N - 5)
        assert run["n_withstood"] == robust.sum()
        assert run["n_misclassified"] == N - 5 - robust.sum()
        drop = (victim.proba(clean) - after)[np.arange(N), labels]
        assert run["confidence_drop"] == pytest.approx(drop[5:].mean(), abs=1e-5)
    stored = np.clip(clean + 4 / 255 * signs, 0, 1)
    assert np.array_equal(arrays["adversarial"], np.rint(stored * 255).astype(np.uint8))
    assert (arrays["linf"][:, 1] <= 4 / 255 + 1e-6).all()


def test_an_image_misclassified_before_withstands_no_attack(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    arrays = _run(victim, "noise", clean, labels)
    assert not robust_mask(arrays["predicted_before"], arrays["predicted"], labels)[:5].any()


def test_without_a_correct_image_there_is_no_drop_of_confidence(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    arrays = _run(victim, "noise", clean, labels)
    wrong = (victim.proba(clean).argmax(axis=1) + 1) % N_CLASSES
    runs = run_summaries("noise", arrays, wrong, None, SETTINGS)
    assert [(run["n_right"], run["confidence_drop"]) for run in runs] == [(0, None)] * 3


def test_no_gradient_of_the_linear_model_is_zero(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    arrays = _run(victim, "fgsm", clean, labels)
    assert arrays["zero_gradient"].shape == (N,)
    assert not arrays["zero_gradient"].any()


def test_steps_are_doubled_only_for_images_that_withstood(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    arrays = _run(victim, "pgd", clean, labels)
    robust = robust_mask(arrays["predicted_before"], arrays["predicted"], labels)
    changed = arrays["doubled"] != arrays["predicted"]
    assert arrays["doubled"].shape == (N, 3)
    assert not (changed & ~robust).any()
    assert robust.sum(axis=0)[0] >= robust.sum(axis=0)[-1]


@pytest.mark.parametrize("attack", ["targeted", "jsma"])
def test_source_target_counts_equal_those_by_hand(
    victim: Linear, clean: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    targets = (labels + 1 + np.arange(N) % 2) % N_CLASSES
    arrays = _run(victim, attack, clean, labels, targets)
    reached, tried = source_target_matrix(result_of_run(arrays), labels, targets, N_CLASSES)
    for source in range(N_CLASSES):
        for target in range(N_CLASSES):
            rows = (labels == source) & (targets == target) & (np.arange(N) >= 5)
            assert tried[source, target] == rows.sum()
            assert reached[source, target] == (arrays["predicted"][rows, 0] == target).sum()
    [run] = run_summaries(attack, arrays, labels, targets, SETTINGS)
    assert run["n_targeted"] == reached.sum()
    assert run["n_right"] == tried.sum() == N - 5
    assert "confidence_drop" not in run


def test_one_pixel_changes_one_pixel_and_counts_its_queries(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    arrays = _run(victim, "one_pixel", clean, labels)
    changed = (arrays["adversarial"] != np.rint(clean * 255)).any(axis=3).sum(axis=(1, 2))
    assert changed.max() == 1
    assert (arrays["n_queries"] >= 1).all()
    assert not arrays["n_gradients"].any()


@pytest.mark.parametrize("attack", ["noise", "fgsm", "pgd", "one_pixel"])
def test_an_image_s_numbers_do_not_depend_on_its_batch(
    victim: Linear, clean: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    together = _run(victim, attack, clean, labels)
    halves = [_run(victim, attack, clean[part], labels[part]) for part in (slice(7), slice(7, N))]
    for name, array in together.items():
        joined = np.concatenate([half[name] for half in halves])
        assert joined.tobytes() == array.tobytes(), name


def test_an_attack_with_gradients_refuses_a_black_box(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(InvalidInput, match="fgsm: expected a network, whose gradients it takes"):
        attack_arrays("fgsm", Victim(victim.proba), clean, labels, None, SETTINGS, 3)
    arrays = attack_arrays("noise", Victim(victim.proba), clean, labels, None, SETTINGS, 3)
    assert np.array_equal(arrays["predicted"], _run(victim, "noise", clean, labels)["predicted"])


def test_targets_that_are_missing_are_refused(
    victim: Linear, clean: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(InvalidInput, match="targets: expected int"):
        _run(victim, "jsma", clean, labels, None)
