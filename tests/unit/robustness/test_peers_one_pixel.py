"""The one-pixel attack beside ART's at equal population and generations; skips without ART."""

from typing import Any

import keras
import numpy as np
import pytest

from flowers17.robustness.one_pixel import one_pixel

attacks = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
estimators = pytest.importorskip("art.estimators.classification")

SHAPE, N_CLASSES, N = (8, 8, 3), 3, 24
POPULATION = 400  # what ART makes of 5 genes: 400 // 5 for each
GENERATIONS = 15


@pytest.fixture(scope="module")
def colours() -> Any:
    """Network that predicts the brightest colour, and images that it classifies correctly."""
    random = np.random.default_rng(5)
    labels = random.integers(0, N_CLASSES, 900)
    images = random.random((900, *SHAPE), np.float32) * np.float32(0.6)
    images[np.arange(900), :, :, labels] += random.uniform(0.01, 0.15, (900, 1, 1)).astype(
        "float32"
    )
    keras.utils.set_random_seed(5)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(N_CLASSES, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images[:700], labels[:700], epochs=8, batch_size=50, verbose=0)
    right = 700 + np.flatnonzero(
        model.predict(images[700:], verbose=0).argmax(axis=1) == labels[700:]
    )
    return model, images[right[:N]], labels[right[:N]]


@pytest.mark.slow
def test_succeeds_at_least_as_often_with_no_more_queries(colours: Any) -> None:
    model, images, labels = colours
    classifier = estimators.TensorFlowV2Classifier(
        model=model,
        nb_classes=N_CLASSES,
        input_shape=SHAPE,
        loss_object=keras.losses.SparseCategoricalCrossentropy(),
        clip_values=(0, 1),
    )
    peer_batches: list[int] = []
    predict = classifier.predict

    def counted(batch: np.ndarray, **options: Any) -> np.ndarray:
        peer_batches.append(len(batch))
        return predict(batch, **options)

    classifier.predict = counted
    np.random.seed(5)  # noqa: NPY002  what its search draws from
    attack = attacks.PixelAttack(classifier, th=1, es=1, max_iter=GENERATIONS, verbose=False)
    peer_images = attack.generate(images, y=labels)
    peer_success, n_peer_queries = predict(peer_images).argmax(axis=1) != labels, sum(peer_batches)
    result = one_pixel(
        model.predict_on_batch,
        images,
        labels,
        population=POPULATION,
        generations=GENERATIONS,
        seed=5,
    )
    assert peer_batches[0] == POPULATION
    assert 0 < peer_success.sum() < N
    assert result.success.sum() >= peer_success.sum()
    assert result.n_queries.sum() <= n_peer_queries
