"""Comparison of detectors of adversarial images, the project's own also under an aware attacker.

A Baseline is trained and attacked. Four detectors are compared on images that neither the Baseline
nor they were trained on: a CNN on the images, a CNN on the images minus their blurred copies (the
project's), a network on the logits, and an autoencoder, by its reconstruction error and by the
change of the network's output (MagNet, Meng and Chen 2017, arXiv:1705.09064). The project's
detector is then attacked together with the network.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, options_of

from flowers17.learners.devices import prepare

prepare("cpu", "float32", SEED)

import keras  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from flowers17.config import LearnerDefinition, RecipeSettings  # noqa: E402
from flowers17.data.images import image_set  # noqa: E402
from flowers17.data.source import source_from  # noqa: E402
from flowers17.learners.examples import Examples  # noqa: E402
from flowers17.learners.images import scaled  # noqa: E402
from flowers17.learners.networks import build  # noqa: E402
from flowers17.learners.training import train  # noqa: E402
from flowers17.robustness import defences, detector  # noqa: E402
from flowers17.robustness.base import probabilities  # noqa: E402
from flowers17.robustness.gradients import logits_of  # noqa: E402

SIZE, BATCH = 64, 128
Score = Callable[[np.ndarray], np.ndarray]
ADAM = RecipeSettings(epochs=5, batch_size=64, optimizer="adam", learning_rate=1e-3)
PLAIN_CNN = LearnerDefinition(name="plain-cnn", blocks=((16,), (32,)), dense=32)


def fitted(model: keras.Model, examples: Examples, recipe: RecipeSettings) -> keras.Model:
    """Model trained by the project's engine."""
    with tempfile.TemporaryDirectory() as folder:
        train(model, examples, recipe, "none", seed=SEED, folder=Path(folder))
    return model


def on_logits(network: keras.Model, examples: Examples) -> Score:
    """Scores of a small network on the sorted log-probabilities."""
    logits = logits_of(network)

    def features(images: np.ndarray) -> np.ndarray:
        return np.asarray(logits.predict(scaled(images), verbose=0, batch_size=BATCH), np.float32)

    inputs = keras.Input((logits.output_shape[-1],))
    x = keras.ops.sort(keras.ops.log_softmax(inputs), axis=-1)
    x = keras.layers.Dense(2)(keras.layers.Dense(64, activation="relu")(x))
    head = keras.Model(inputs, keras.layers.Softmax()(x))
    training = Examples(
        features(examples.inputs), examples.labels, examples.train, examples.validation, 2
    )
    fitted(head, training, ADAM.model_copy(update={"epochs": 20}))
    return lambda images: np.asarray(head.predict(features(images), verbose=0))[:, 1]


def by_autoencoder(network: keras.Model, images: np.ndarray) -> dict[str, Score]:
    """Scores of an autoencoder trained on clean images with a little noise."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.AveragePooling2D(2)(x))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.UpSampling2D(2)(x))
    outputs = layers.Conv2D(3, 3, padding="same", activation="sigmoid")(x)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    clean = scaled(images)
    noise = np.random.default_rng(SEED).normal(0, 0.025, clean.shape).astype(np.float32)
    model.fit(np.clip(clean + noise, 0, 1), clean, epochs=20, batch_size=32, verbose=0)
    logits = logits_of(network)

    def reconstructed(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(scaled(pixels), verbose=0, batch_size=BATCH))

    def softened(pixels: np.ndarray) -> np.ndarray:
        values = logits.predict(pixels, verbose=0, batch_size=BATCH)
        return np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(values / 10)))

    def divergence(pixels: np.ndarray) -> np.ndarray:
        p, q = softened(scaled(pixels)), softened(reconstructed(pixels))
        middle = (p + q) / 2
        return np.asarray(p * np.log(p / middle) + q * np.log(q / middle)).sum(axis=1) / 2

    return {
        "autoencoder, error": lambda pixels: np.abs(reconstructed(pixels) - scaled(pixels)).mean(
            (1, 2, 3)
        ),
        "autoencoder, answer": divergence,
    }


def main() -> None:
    """Train and attack the network; train, compare and attack the detectors."""
    options = options_of(
        __doc__,
        "dataset",
        epochs={"default": 15, "help": "of the network"},
        steps={"default": 10, "help": "of PGD"},
    )
    images = image_set(source_from(options.dataset), size=SIZE)
    order = np.random.default_rng(SEED).permutation(len(images.labels))
    test, train_rows = np.sort(order[:340]), np.sort(order[340:])
    training = Examples(images.images, images.labels, train_rows, test, 17)
    network = build("baseline", (SIZE, SIZE, 3), seed=SEED)
    fitted(network, training, RecipeSettings(epochs=options.epochs, selection="last"))

    def adversarial_by_attack(rows: np.ndarray, budgets: tuple[int, ...]) -> dict[str, np.ndarray]:
        clean, labels = scaled(images.images[rows]), images.labels[rows]
        return detector.adversarial_images(
            network, clean, labels, budgets, n_steps=options.steps, seed=SEED
        )

    held_out = np.arange(0, len(train_rows), 5)
    fit_rows = np.setdiff1d(np.arange(len(train_rows)), held_out)
    clean = images.images[train_rows]
    attacked = list(adversarial_by_attack(train_rows, (2, 4)).values())
    examples = detector.examples(clean, attacked, fit_rows, held_out)
    plain = build(PLAIN_CNN.name, (SIZE, SIZE, 3), 2, definitions=[PLAIN_CNN], seed=SEED)
    fitted(plain, examples, ADAM)
    residual = fitted(detector.initial_detector(SIZE, SEED), examples, ADAM)
    scores: dict[str, Score] = {
        "CNN on the image": lambda pixels: detector.adversarial_scores(plain, scaled(pixels)),
        "CNN on the residual": lambda pixels: detector.adversarial_scores(residual, scaled(pixels)),
        "network on the logits": on_logits(network, examples),
        **by_autoencoder(network, clean),
    }
    test_images: dict[str, Any] = adversarial_by_attack(test, (1, 2, 4))
    labels = np.repeat([0, 1], len(test))
    for name, score in scores.items():
        clean_scores = score(images.images[test])
        areas = (
            f"{attack} {roc_auc_score(labels, np.concatenate([clean_scores, score(pixels)])):.3f}"
            for attack, pixels in test_images.items()
        )
        print(f"{name:24} area under the ROC curve: {'  '.join(areas)}", flush=True)
    clean_scores = detector.adversarial_scores(residual, scaled(clean[held_out]))
    threshold = detector.refusal_threshold(clean_scores, 0.05)
    defended = [
        defences.no_defence(network),
        defences.detector_defence("detector", network, residual, threshold),
    ]
    truth, budgets = images.labels[test], (1, 2, 4, 8)
    predictions = defences.predictions_under_attack(
        defended, scaled(images.images[test]), truth, budgets, n_steps=options.steps, seed=SEED
    )
    right = (probabilities(network, scaled(images.images[test])).argmax(axis=1) == truth).mean()
    print(f"network alone: clean {right:.3f}")
    for number, defence in enumerate(defended):
        before, after = (predictions[f"{number:02d}-{name}"] for name in ("before", "after"))
        summary = defences.defence_summary(defence, before, after, truth, budgets)
        print(f"{defence.name}: clean {summary['n_right'] / 340:.3f}")
        for run in summary["runs"]:
            print(
                f"  {run['view']:24} {run['attack']} {run['epsilon']:g}/255: withstood "
                f"{run['n_withstood'] / 340:.3f}, refused {run['n_refused'] / 340:.3f}"
            )


if __name__ == "__main__":
    main()
