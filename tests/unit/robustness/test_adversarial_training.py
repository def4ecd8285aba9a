"""Adversarial batches are those by hand, and a training on them resumes to the byte."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.config import AdversarySettings
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.robustness.adversarial_training import adversary
from flowers17.robustness.pgd import REACH
from tests.support.tiny_training import EVERYTHING, PLAIN, STATEFUL, Stopped, prepared, trained
from tests.unit.robustness.victim_models import N_CLASSES, images, linear, weights

X = images(10)
TARGETS = np.eye(N_CLASSES, dtype=np.float32)[np.arange(10) % N_CLASSES]
MIXED = np.float32(0.7) * TARGETS + np.float32(0.3) * TARGETS[::-1]
EPSILON = 8 / 255
FGSM = AdversarySettings(attack="fgsm", epsilon=8, share=0.5)
PGD = AdversarySettings(attack="pgd", epsilon=8, n_steps=4, share=0.7)


def _signs(x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Signs of W (p - t) by hand."""
    odds = np.exp(x.reshape(len(x), -1).astype(np.float64) @ weights())
    proba = odds / odds.sum(axis=1, keepdims=True)
    return np.sign((proba - targets) @ weights().T.astype(np.float64)).reshape(x.shape)


@pytest.mark.parametrize("targets", [TARGETS, MIXED], ids=["classes", "mixed"])
def test_one_step_on_a_linear_model_is_that_by_hand(targets: np.ndarray) -> None:
    adversarial = adversary(linear(), FGSM, 3)(X, targets, 1, 0)
    by_hand = np.clip(X[:5] + EPSILON * _signs(X[:5], targets[:5]), 0, 1)
    np.testing.assert_allclose(adversarial[:5], by_hand, atol=1e-6)
    assert adversarial[5:].tobytes() == X[5:].tobytes()
    assert adversarial.dtype == np.float32


def test_many_steps_stay_within_the_budget_and_end_at_its_edge_on_a_linear_model() -> None:
    # Signs hardly change there, and the steps together reach further than the budget is wide.
    adversarial = adversary(linear(), PGD, 3)(X, TARGETS, 1, 0)
    change = adversarial[:7].astype(np.float64) - X[:7]
    assert np.abs(change).max() <= EPSILON + 1e-6
    by_hand = np.clip(X[:7] + EPSILON * _signs(X[:7], TARGETS[:7]), 0, 1)
    assert (np.abs(adversarial[:7] - by_hand) < 1e-6).mean() > 0.9
    assert REACH > 2
    assert adversarial[7:].tobytes() == X[7:].tobytes()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_random_starts_depend_on_seed_epoch_and_batch_alone() -> None:
    # A model that says the same of every image has no gradient, so the start is all there is.
    short = PGD.model_copy(update={"n_steps": 1, "share": 1.0})
    model = linear(0.0)

    def batch_bytes(seed: int, epoch: int, batch: int) -> bytes:
        return bytes(adversary(model, short, seed)(X[:2], TARGETS[:2], epoch, batch).tobytes())

    assert batch_bytes(1, 1, 0) == batch_bytes(1, 1, 0)
    batches = [batch_bytes(*numbers) for numbers in ((1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1))]
    assert len(set(batches)) == 4


@pytest.mark.parametrize(("share", "n"), [(0.01, 1), (0.5, 5), (0.51, 6), (1.0, 10)])
def test_the_share_of_a_batch_is_attacked(share: float, n: int) -> None:
    settings = FGSM.model_copy(update={"share": share})
    adversarial = adversary(linear(), settings, 1)(X, TARGETS, 1, 0)
    assert (adversarial != X).any(axis=(1, 2, 3)).tolist() == [True] * n + [False] * (10 - n)


HARD = EVERYTHING.model_copy(
    update={"adversary": PGD, "epochs": 2, "batch_size": 10, "resolutions": (1.0,)}
)


def test_a_training_stopped_after_an_epoch_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def copy(epoch: int) -> None:
        if epoch == 1:
            shutil.copytree(tmp_path / "whole", tmp_path / "stopped")

    with prepared():
        uninterrupted = trained(tmp_path / "whole", HARD, STATEFUL, after_epoch=copy)
        assert trained(tmp_path / "stopped", HARD, STATEFUL) == uninterrupted


def test_checkpoints_of_another_adversary_are_refused(tmp_path: Path) -> None:
    recipe = PLAIN.model_copy(update={"adversary": PGD, "epochs": 2})
    with pytest.raises(Stopped):
        trained(tmp_path, recipe, stop_after=1)
    stronger = PGD.model_copy(update={"epsilon": 9})
    with pytest.raises(InvalidInput, match="found those of another configuration"):
        trained(tmp_path, recipe.model_copy(update={"adversary": stronger}))


@pytest.mark.parametrize(
    ("recipe", "perturb"),
    [(PLAIN, lambda *_: None), (PLAIN.model_copy(update={"adversary": PGD}), None)],
    ids=["unexpected", "missing"],
)
def test_a_perturbation_goes_with_an_adversary(tmp_path: Path, recipe: Any, perturb: Any) -> None:
    with pytest.raises(InvalidSettings, match="expected a perturbation if the recipe has an adv"):
        trained(tmp_path, recipe, perturb=perturb)
