"""The single-feature JSMA is the Adversarial Robustness Toolbox's, up to its looser cap."""

import keras
import numpy as np
import pytest

from flowers17.robustness.jsma import jsma

estimators = pytest.importorskip(
    "art.estimators.classification", reason="the Adversarial Robustness Toolbox is not installed"
)
evasion = pytest.importorskip("art.attacks.evasion")

GAMMA = 0.145


@pytest.mark.slow
def test_single_equals_the_toolbox_wherever_that_keeps_the_cap() -> None:
    keras.utils.set_random_seed(3)
    shape, n_classes = (12, 12, 1), 5
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )
    images = np.random.default_rng(3).uniform(0, 0.6, (20, *shape)).astype(np.float32)
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    rows, targets = np.nonzero(np.arange(n_classes) != predicted[:, None])
    sources = images[rows]
    import tensorflow as tf

    classifier = estimators.TensorFlowV2Classifier(
        model=model,
        nb_classes=n_classes,
        input_shape=shape,
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(),
        clip_values=(0, 1),
    )
    attack = evasion.SaliencyMapMethod(
        classifier, theta=1.0, gamma=GAMMA, batch_size=len(sources), verbose=False
    )
    peer_images = attack.generate(sources, y=targets)
    result = jsma(model, sources, targets, gamma=GAMMA, variant="single")
    within = (peer_images != sources).sum(axis=(1, 2, 3)) <= int(GAMMA * 144)
    identical = (peer_images == result.adversarial).all(axis=(1, 2, 3))
    assert within.sum() >= len(rows) / 2
    assert identical[within].mean() >= 0.99
