"""The single-feature JSMA is the Adversarial Robustness Toolbox's, up to its looser cap."""

from itertools import product

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
    own = model.predict(images, verbose=0).argmax(axis=1)
    pairs = [(row, one) for row, one in product(range(20), range(n_classes)) if one != own[row]]
    sources, targets = images[[row for row, _ in pairs]], np.array([one for _, one in pairs])
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
    theirs = attack.generate(sources, y=targets)
    ours = jsma(model, sources, targets, gamma=GAMMA, variant="single")
    within = (theirs != sources).sum(axis=(1, 2, 3)) <= int(GAMMA * 144)
    same = (theirs == ours.adversarial).all(axis=(1, 2, 3))
    assert within.sum() >= len(pairs) / 2
    assert same[within].mean() >= 0.99
