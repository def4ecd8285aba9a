"""FGSM beside two toolboxes, on the logits of one CNN; skips where they are not installed."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.robustness.fgsm import fgsm

pytestmark = pytest.mark.real

EPSILONS = [0.01, 0.05, 0.1, 0.2, 0.25, 0.3]
MNIST = Path(__file__).parents[4] / "shared" / "data" / "mnist_t10k.npz"
N = 200


@pytest.fixture(scope="module")
def digits() -> Any:
    """Return a trained network, its logits, and test images with their labels."""
    path = Path(os.environ.get("FLOWERS17_MNIST", MNIST))
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the toolboxes are compared on TensorFlow")
    if not path.is_file():
        pytest.skip(f"no MNIST images at {path}")
    with np.load(path, allow_pickle=False) as held:
        x, y = held["x_train"], held["y_train"].astype(np.int64)
        test, labels = held["x_test"][:N], held["y_test"][:N].astype(np.int64)
    x, test = (one[..., None].astype(np.float32) / np.float32(255) for one in (x, test))
    keras.utils.set_random_seed(5)
    layers = keras.layers
    inputs = keras.Input((28, 28, 1))
    features = layers.MaxPooling2D(2)(layers.Conv2D(16, 5, activation="relu")(inputs))
    features = layers.MaxPooling2D(2)(layers.Conv2D(32, 5, activation="relu")(features))
    logits = layers.Dense(10)(layers.Flatten()(features))
    model = keras.Model(inputs, layers.Softmax()(logits))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, batch_size=64, verbose=0)
    return model, keras.Model(inputs, logits), test, labels


def _ours(model: Any, images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [one.adversarial for one in fgsm(model, images, labels, epsilon=EPSILONS)]


def test_equals_the_fast_gradient_method_of_art(digits: Any) -> None:
    attacks = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    estimators = pytest.importorskip("art.estimators.classification")
    model, logits, images, labels = digits
    classifier = estimators.TensorFlowV2Classifier(
        model=logits,
        nb_classes=10,
        input_shape=(28, 28, 1),
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    for epsilon, ours in zip(EPSILONS, _ours(model, images, labels), strict=True):
        theirs = attacks.FastGradientMethod(classifier, eps=epsilon, batch_size=N)
        made = theirs.generate(images, y=labels)
        np.testing.assert_allclose(ours, made, rtol=0, atol=1e-6)


def test_equals_the_fast_gradient_method_of_cleverhans(digits: Any) -> None:
    module = pytest.importorskip(
        "cleverhans.tf2.attacks.fast_gradient_method", reason="CleverHans is not installed"
    )
    model, logits, images, labels = digits
    for epsilon, ours in zip(EPSILONS, _ours(model, images, labels), strict=True):
        made = module.fast_gradient_method(
            logits,
            images,
            epsilon,
            np.inf,
            clip_min=0.0,
            clip_max=1.0,
            y=labels,
            sanity_checks=False,
        )
        np.testing.assert_allclose(ours, np.asarray(made), rtol=0, atol=1e-6)
