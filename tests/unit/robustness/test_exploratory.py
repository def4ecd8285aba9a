"""The exploratory attack: queries by hand, fidelity that grows, resumption to the byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import (
    AttackSettings,
    ExploratorySettings,
    JsmaSettings,
    LearnerDefinition,
)
from flowers17.learners.images import scaled
from flowers17.learners.networks import build
from flowers17.robustness.exploratory import (
    NOT_SHOWN,
    jacobian_steps,
    learned_surrogate,
    transferred,
)
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.jsma import jsma
from flowers17.robustness.pgd import pgd

from .victim_models import N_CLASSES, SHAPE, linear, linear_gradient, spots

TINY = LearnerDefinition(name="tiny", blocks=((4,),), dense=16)
SETTINGS = ExploratorySettings(
    learner="tiny",
    augmentation="none",
    epochs=40,
    n_seeds=64,
    rounds=2,
    n_new=96,  # with the seeds, whole batches: each graph is compiled once
    step=20,
)
QUICK = SETTINGS.model_copy(update={"epochs": 5})


class Target:
    """A target that knows the bright quarter of an image, and counts what it is asked."""

    def __init__(self) -> None:
        self.n_queries = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.float32
        self.n_queries += len(images)
        quarters = [images[:, top : top + 4, left : left + 4] for top, left in QUARTERS]
        return np.stack([quarter.mean(axis=(1, 2, 3)) for quarter in quarters], axis=1).argmax(1)


QUARTERS = ((0, 0), (0, 4), (4, 0))


def _initial(seed: int) -> keras.Model:
    return build("tiny", (8, 8, 3), N_CLASSES, definitions=[TINY], seed=seed)


def _pixels(n: int, seed: int) -> np.ndarray:
    images, _ = spots(n, seed)
    return np.rint(np.repeat(images, 3, axis=3).clip(0, 1) * 255).astype(np.uint8)


def _learned(
    folder: Path,
    target: Callable[[np.ndarray], np.ndarray],
    held_out: np.ndarray,
    progress: Callable[..., Any] = lambda *_: None,
    settings: ExploratorySettings = QUICK,
) -> tuple[keras.Model, list[int], np.ndarray]:
    return learned_surrogate(
        target,
        _initial,
        _pixels(64, 1),
        held_out,
        N_CLASSES,
        settings,
        seed=3,
        folder=folder,
        batch_size=64,
        progress=progress,
    )


@pytest.mark.parametrize("step", [20.0, -20.0])
def test_a_query_is_a_step_towards_or_away_from_the_answer_by_the_sign_of_the_gradient(
    step: float,
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (9, *SHAPE), dtype=np.uint8)
    answers = np.arange(9) % N_CLASSES
    signs = -np.sign(linear_gradient(scaled(images), answers))
    by_hand = np.clip(images + step * signs, 0, 255).astype(np.uint8)
    assert np.array_equal(jacobian_steps(linear(), images, answers, step=step), by_hand)


def test_queries_double_up_to_the_limit_and_the_surrogate_comes_to_agree(tmp_path: Path) -> None:
    target, held_out = Target(), _pixels(200, 2)
    surrogate, n_queries, predicted = _learned(tmp_path, target, held_out, settings=SETTINGS)
    assert n_queries == [64, 128, 224]
    assert target.n_queries == 224 + 200, "held-out images are asked about once, to measure"
    fidelity = (target(scaled(held_out)) == predicted.T).mean(axis=1)
    assert fidelity[-1] > max(fidelity[0], 0.8)
    assert surrogate.output_shape == (None, N_CLASSES)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, np.ndarray]:
    """A surrogate, and what it and the target say of 40 held-out images."""
    folder = tmp_path_factory.mktemp("undisturbed")
    surrogate, _, predicted = _learned(folder, Target(), _pixels(40, 2))
    return surrogate, predicted


def test_a_surrogate_that_was_stopped_resumes_with_its_queries_and_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[keras.Model, np.ndarray]
) -> None:
    held_out = _pixels(40, 2)
    epochs: list[int] = []

    def stop(n_done: int, total: int, unit: str) -> None:
        epochs.append(n_done)
        if len(epochs) == QUICK.epochs + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _learned(tmp_path / "b", Target(), held_out, stop)
    target, resumed_epochs = Target(), []
    surrogate, _, predicted = _learned(
        tmp_path / "b", target, held_out, lambda n_done, *_: resumed_epochs.append(n_done)
    )
    assert resumed_epochs == [*range(3, 6), *range(1, 6)]
    assert target.n_queries == 40 + 96, "of the queries only those of the last round"
    assert predicted.tobytes() == undisturbed[1].tobytes()
    for weights, others in zip(surrogate.get_weights(), undisturbed[0].get_weights(), strict=True):
        assert weights.tobytes() == others.tobytes()


def test_held_out_images_choose_nothing(
    tmp_path: Path, undisturbed: tuple[keras.Model, np.ndarray]
) -> None:
    another, *_ = _learned(tmp_path, Target(), _pixels(20, 7))
    for weights, others in zip(undisturbed[0].get_weights(), another.get_weights(), strict=True):
        assert weights.tobytes() == others.tobytes()


def test_what_is_shown_to_the_target_is_what_fools_the_surrogate() -> None:
    surrogate, n = linear(), 6
    images = np.random.default_rng(4).integers(0, 256, (n, *SHAPE)).astype(np.float32) / 255
    labels, classes = np.arange(n) % N_CLASSES, np.full(n, NOT_SHOWN)
    classes[:2] = (labels[:2] + 1) % N_CLASSES
    settings = AttackSettings(
        pgd_steps=3,
        pgd_restarts=2,
        jsma=JsmaSettings(gamma=0.2, variant="single"),
        exploratory=ExploratorySettings(budgets=(8, 64)),
    )
    shown: list[np.ndarray] = []

    def target(pixels: np.ndarray) -> np.ndarray:
        shown.append(pixels)
        return np.full(len(pixels), len(shown) % N_CLASSES)

    arrays = transferred(surrogate, target, images, labels, classes, settings, 5)
    predicted = arrays["predicted"]
    steps = fgsm(surrogate, images, labels, epsilons=[8 / 255, 64 / 255])
    losses: Any = ("cross_entropy", "margin")
    steps += [
        pgd(
            *(surrogate, images, labels),
            epsilon=epsilon / 255,
            n_steps=3,
            restarts=2,
            losses=losses,
            seed=5,
        )
        for epsilon in (8, 64)
    ]
    steps.append(jsma(surrogate, images[:2], classes[:2], gamma=0.2, variant="single"))
    for pixels, result in zip(shown, [None, *steps], strict=True):
        assert np.array_equal(pixels, images if result is None else result.adversarial)
    assert predicted[:, :-1, 0].tolist() == [[1, 2, 0, 1, 2]] * n
    assert predicted[:, 0, 1].tolist() == steps[0].predicted_before.tolist()
    for number, result in enumerate(steps[:-1], start=1):
        assert predicted[:, number, 1].tolist() == result.predicted.tolist()
    assert predicted[:2, -1].tolist() == [[0, cls] for cls in steps[-1].predicted]
    assert (predicted[2:, -1] == NOT_SHOWN).all()
