"""A training that takes a second: random images of 16 pixels and a few hundred weights.

It has every kind of state between epochs: momentum, a learning-rate schedule, seed generators of
dropout, batch-norm statistics, mixup, two resolutions, and a last batch that is not full.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flowers17.config import AugmentationName, LearnerDefinition, RecipeSettings
from flowers17.learners.devices import prepare
from flowers17.learners.examples import Examples
from flowers17.learners.networks import build
from flowers17.learners.training import Epoch, TrainingResult, train
from flowers17.robustness.adversarial_training import adversary

SIZE, N_CLASSES, N_TRAIN, SEED = 16, 3, 20, 5
STACKED = LearnerDefinition(name="tiny", blocks=((4,), (8,)), dense=16)
STATEFUL = "tests.support.tiny_training:stateful"
PLAIN = RecipeSettings(epochs=4, batch_size=8)
EVERYTHING = RecipeSettings(
    epochs=6,
    batch_size=8,
    learning_rate=0.05,
    schedule="one-cycle",
    momentum=0.9,
    weight_decay=5e-3,
    label_smoothing=0.1,
    mixup=0.2,
    mixup_until=0.8,
    resolutions=(0.5, 1.0),
)


class Stopped(Exception):
    """A training that its callback ended."""


@dataclass(frozen=True)
class End:
    """End of a training: the bytes of the weights, the history, the best epoch."""

    weights: list[bytes]
    history: list[Epoch]
    best_epoch: int


def examples(seed: int = 0) -> Examples:
    """Random images: 30 of three classes, 20 of them to train on."""
    images = np.random.default_rng(seed).integers(0, 256, (30, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(30) % N_CLASSES
    return Examples(images, labels, np.arange(N_TRAIN), np.arange(N_TRAIN, 30), N_CLASSES)


def stateful(input_shape: Any, n_classes: int) -> keras.Model:
    """Network that takes any size and has more state than its weights."""
    layers = keras.layers
    inputs = layers.Input(input_shape)
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.3)(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(layers.Dense(8, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


def wrong_output(input_shape: Any, n_classes: int) -> keras.Model:
    """Network with one class too many."""
    return stateful(input_shape, n_classes + 1)


def no_model(input_shape: Any, n_classes: int) -> str:
    """Builder that returns no network."""
    return "a daisy"


@contextmanager
def prepared() -> Iterator[None]:
    """Set the process up as for a training, and restore what can be restored."""
    old_environment = dict(os.environ)
    try:
        prepare("cpu", "float32", SEED)
        yield
    finally:
        keras.config.set_dtype_policy("float32")
        os.environ.clear()
        os.environ.update(old_environment)


def fresh(learner: str = STACKED.name, *, any_size: bool = False) -> keras.Model:
    """Learner with the initial weights of all these trainings."""
    shape = (None, None, 3) if any_size else (SIZE, SIZE, 3)
    return build(learner, shape, N_CLASSES, definitions=[STACKED], seed=SEED)


def weight_bytes(model: keras.Model) -> list[bytes]:
    """Bytes of each weight."""
    return [keras.ops.convert_to_numpy(weight).tobytes() for weight in model.weights]


def trained(
    folder: Path,
    recipe: RecipeSettings = PLAIN,
    learner: str = STACKED.name,
    *,
    augmentation: AugmentationName = "wide",
    stop_after: int | None = None,
    after_batch: Any = None,
    after_epoch: Callable[[int], None] | None = None,
    **options: Any,
) -> End:
    """Train a fresh network with the checkpoints of a folder; raises Stopped after an epoch."""

    def stop(history: list[Epoch]) -> None:
        if after_epoch:
            after_epoch(len(history))
        if len(history) == stop_after:
            raise Stopped

    model = fresh(learner, any_size=learner == STATEFUL)
    if recipe.adversary:
        options.setdefault("perturb", adversary(model, recipe.adversary, SEED))
    result: TrainingResult = train(
        model,
        replace(examples(), **options.pop("examples", {})),
        recipe,
        augmentation,
        seed=options.pop("seed", SEED),
        folder=folder,
        after_batch=after_batch,
        after_epoch=stop,
        **options,
    )
    return End(weight_bytes(model), result.history, result.best_epoch)
