"""FGSM beside two toolboxes, on the logits of one CNN; skips where they are not installed."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.robustness.fgsm import fgsm

pytestmark = pytest.mark.real

EPSILONS = [0.01, 0.05, 0.1, 0.2, 0.25, 0.3]
SHARED = Path(__file__).parents[4] / "shared" / "data"
N = 200


def _digits(path: Path) -> tuple[np.ndarray, ...]:
    """MNIST's training images and labels, then N test images and labels."""
    with np.load(path, allow_pickle=False) as held:
        arrays = held["x_train"], held["y_train"], held["x_test"][:N], held["y_test"][:N]
    return tuple(array[..., None] if array.ndim == 3 else array for array in arrays)


def _colours(path: Path) -> tuple[np.ndarray, ...]:
    """CIFAR-10's, from a file of test images alone, in the same order."""
    with np.load(path, allow_pickle=False) as held:
        images, labels = held["x_test"], held["y_test"]
    return images[N:], labels[N:], images[:N], labels[:N]


READ = {"mnist_t10k.npz": _digits, "cifar10_test1000.npz": _colours}


@pytest.fixture(scope="module", params=READ)
def trained(request: pytest.FixtureRequest) -> Any:
    """Trained network, its logits, and test images with their labels."""
    path = SHARED / request.param
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the toolboxes are compared on TensorFlow")
    if not path.is_file():
        pytest.skip(f"no images at {path}")
    x, y, test, labels = READ[request.param](path)
    x, test = (array.astype(np.float32) / np.float32(255) for array in (x, test))
    keras.utils.set_random_seed(5)
    layers = keras.layers
    inputs = keras.Input(x.shape[1:])
    features = layers.MaxPooling2D(2)(layers.Conv2D(16, 5, activation="relu")(inputs))
    features = layers.MaxPooling2D(2)(layers.Conv2D(32, 5, activation="relu")(features))
    logits = layers.Dense(10)(layers.Flatten()(features))
    model = keras.Model(inputs, layers.Softmax()(logits))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(x, y.astype(np.int64), epochs=3, batch_size=64, verbose=0)
    return model, keras.Model(inputs, logits), test, labels.astype(np.int64)


def _own_images(model: Any, images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [result.adversarial for result in fgsm(model, images, labels, epsilons=EPSILONS)]


@pytest.mark.skipif(find_spec("art") is None, reason="ART is not installed")
def test_equals_the_fast_gradient_method_of_art(trained: Any) -> None:
    attacks = import_module("art.attacks.evasion")
    estimators = import_module("art.estimators.classification")
    model, logits, images, labels = trained
    classifier = estimators.TensorFlowV2Classifier(
        model=logits,
        nb_classes=10,
        input_shape=images.shape[1:],
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    for epsilon, own_images in zip(EPSILONS, _own_images(model, images, labels), strict=True):
        attack = attacks.FastGradientMethod(classifier, eps=epsilon, batch_size=N)
        peer_images = attack.generate(images, y=labels)
        np.testing.assert_allclose(own_images, peer_images, rtol=0, atol=1e-6)


@pytest.mark.skipif(find_spec("cleverhans") is None, reason="CleverHans is not installed")
def test_equals_the_fast_gradient_method_of_cleverhans(trained: Any) -> None:
    module = import_module("cleverhans.tf2.attacks.fast_gradient_method")
    model, logits, images, labels = trained
    for epsilon, own_images in zip(EPSILONS, _own_images(model, images, labels), strict=True):
        peer_images = module.fast_gradient_method(
            logits,
            images,
            epsilon,
            np.inf,
            clip_min=0.0,
            clip_max=1.0,
            y=labels,
            sanity_checks=False,
        )
        np.testing.assert_allclose(own_images, np.asarray(peer_images), rtol=0, atol=1e-6)
