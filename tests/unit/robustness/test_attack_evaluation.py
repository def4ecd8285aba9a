"""Attacks evaluated: on a linear model every number equals the one worked out by hand."""

from typing import Any

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
    attacked,
    epsilons,
    source_target,
    summaries,
    withstood,
)
from flowers17.robustness.noise import random_signs

from .made_models import N_CLASSES

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
        given = keras.Input(SHAPE)
        dense = keras.layers.Dense(N_CLASSES)
        outputs = keras.layers.Softmax()(dense(keras.layers.Flatten()(given)))
        self.model = keras.Model(given, outputs)
        dense.set_weights([self.w, np.zeros(N_CLASSES, np.float32)])

    def proba(self, x: np.ndarray) -> np.ndarray:
        logits = x.reshape(len(x), -1).astype(np.float64) @ self.w
        logits -= logits.max(axis=1, keepdims=True)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def gradient(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        residue = self.proba(x) - np.eye(N_CLASSES)[labels]
        return (residue @ self.w.T).reshape(x.shape)


@pytest.fixture(scope="module")
def made() -> Linear:
    return Linear()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    grid = np.random.default_rng(6).integers(0, 256, (N, *SHAPE))
    return grid.astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def labels(made: Linear, pictures: np.ndarray) -> np.ndarray:
    """What the model says, but for the first five images, which it has wrong."""
    said = made.proba(pictures).argmax(axis=1)
    return np.where(np.arange(N) < 5, (said + 1) % N_CLASSES, said)


def _run(
    made: Linear,
    attack: AttackName,
    pictures: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    victim = Victim(made.proba, made.model)
    return attacked(attack, victim, pictures, labels, targets, SETTINGS, 3)


def test_budgets_are_all_that_are_asked_for_in_order() -> None:
    assert epsilons("noise", SETTINGS) == [1.0, 4.0, 16.0]
    assert epsilons("targeted", SETTINGS) == [4.0]
    assert epsilons("jsma", SETTINGS) == epsilons("one_pixel", SETTINGS) == [None]


@pytest.mark.parametrize("attack", ["fgsm", "noise"])
def test_a_single_step_leaves_right_what_the_linear_model_leaves_right_by_hand(
    made: Linear, pictures: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    found = _run(made, attack, pictures, labels)
    signs = random_signs(pictures, 3)
    if attack == "fgsm":
        signs = np.sign(made.gradient(pictures, labels))
    runs = summaries(attack, found, labels, None, SETTINGS)
    for run, epsilon in zip(runs, (1, 4, 16), strict=True):
        moved = np.clip(pictures + epsilon / 255 * signs, 0, 1)
        after = made.proba(moved)
        stood = (after.argmax(axis=1) == labels) & (np.arange(N) >= 5)
        assert (run["epsilon"], run["n"], run["n_right"]) == (epsilon, N, N - 5)
        assert run["n_withstood"] == stood.sum()
        assert run["n_misclassified"] == N - 5 - stood.sum()
        of_label = (made.proba(pictures) - after)[np.arange(N), labels]
        assert run["confidence_drop"] == pytest.approx(of_label[5:].mean(), abs=1e-5)
    kept = np.clip(pictures + 4 / 255 * signs, 0, 1)
    assert np.array_equal(found["adversarial"], np.rint(kept * 255).astype(np.uint8))
    assert (found["linf"][:, 1] <= 4 / 255 + 1e-6).all()


def test_what_was_wrong_before_withstands_nothing(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = _run(made, "noise", pictures, labels)
    assert not withstood(found, labels)[:5].any()


def test_of_a_model_that_has_nothing_right_no_confidence_drops(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = _run(made, "noise", pictures, labels)
    wrong = (made.proba(pictures).argmax(axis=1) + 1) % N_CLASSES
    runs = summaries("noise", found, wrong, None, SETTINGS)
    assert [(run["n_right"], run["confidence_drop"]) for run in runs] == [(0, None)] * 3


def test_no_gradient_of_the_linear_model_is_zero(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = _run(made, "fgsm", pictures, labels)
    assert found["zero_gradient"].shape == (N,)
    assert not found["zero_gradient"].any()


def test_twice_the_steps_are_taken_of_those_only_that_withstood(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = _run(made, "pgd", pictures, labels)
    stood = withstood(found, labels)
    changed = found["doubled"] != found["predicted"]
    assert found["doubled"].shape == (N, 3)
    assert not (changed & ~stood).any()
    assert stood.sum(axis=0)[0] >= stood.sum(axis=0)[-1]


@pytest.mark.parametrize("attack", ["targeted", "jsma"])
def test_pairs_of_classes_are_counted_as_by_hand(
    made: Linear, pictures: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    targets = (labels + 1 + np.arange(N) % 2) % N_CLASSES
    found = _run(made, attack, pictures, labels, targets)
    reached, tried = source_target(found, labels, targets, N_CLASSES)
    for source in range(N_CLASSES):
        for target in range(N_CLASSES):
            rows = (labels == source) & (targets == target) & (np.arange(N) >= 5)
            assert tried[source, target] == rows.sum()
            assert reached[source, target] == (found["predicted"][rows, 0] == target).sum()
    [run] = summaries(attack, found, labels, targets, SETTINGS)
    assert run["n_targeted"] == reached.sum()
    assert run["n_right"] == tried.sum() == N - 5
    assert "confidence_drop" not in run


def test_one_pixel_changes_at_most_one_and_says_what_it_asked(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = _run(made, "one_pixel", pictures, labels)
    changed = (found["adversarial"] != np.rint(pictures * 255)).any(axis=3).sum(axis=(1, 2))
    assert changed.max() == 1
    assert (found["n_queries"] >= 1).all()
    assert not found["n_gradients"].any()


@pytest.mark.parametrize("attack", ["noise", "fgsm", "pgd", "one_pixel"])
def test_an_image_s_numbers_do_not_depend_on_its_batch(
    made: Linear, pictures: np.ndarray, labels: np.ndarray, attack: AttackName
) -> None:
    whole = _run(made, attack, pictures, labels)
    halves = [_run(made, attack, pictures[part], labels[part]) for part in (slice(7), slice(7, N))]
    for name, array in whole.items():
        joined = np.concatenate([one[name] for one in halves])
        assert joined.tobytes() == array.tobytes(), name


def test_a_black_box_is_refused_to_what_needs_gradients(
    made: Linear, pictures: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(InvalidInput, match="fgsm: expected a network, whose gradients it takes"):
        attacked("fgsm", Victim(made.proba), pictures, labels, None, SETTINGS, 3)
    found = attacked("noise", Victim(made.proba), pictures, labels, None, SETTINGS, 3)
    assert np.array_equal(found["predicted"], _run(made, "noise", pictures, labels)["predicted"])


@pytest.mark.parametrize(
    ("attack", "targets", "said"),
    [
        ("jsma", None, "jsma: expected targets"),
        ("pgd", np.zeros(N, int), "pgd: expected no targets"),
    ],
)
def test_targets_that_are_missing_or_useless_are_refused(
    made: Linear, pictures: np.ndarray, labels: np.ndarray, attack: Any, targets: Any, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        _run(made, attack, pictures, labels, targets)
