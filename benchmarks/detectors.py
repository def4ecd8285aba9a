"""Which detector tells adversarial images from clean ones, also against an informed attacker.

A Baseline is trained and attacked. Four detectors are then compared, on images that neither the
Baseline nor they were trained on: a CNN on the images, a CNN on the images minus their blurred
copies (ours), a network on the logits, and an autoencoder, by its reconstruction error and by the
change of the network's output (MagNet, Meng and Chen 2017, arXiv:1705.09064). At last ours is
attacked together with the network.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import print_machine

from flowers17.learners.devices import prepare

prepare("cpu", "float32", 17)

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
from flowers17.robustness.logits import logits_of  # noqa: E402

SEED, SIZE, BATCH = 17, 64, 128
Score = Callable[[np.ndarray], np.ndarray]
ADAM = RecipeSettings(epochs=5, batch_size=64, optimizer="adam", learning_rate=1e-3)
PLAIN_CNN = LearnerDefinition(name="plain-cnn", blocks=((16,), (32,)), dense=32)


def fitted(model: keras.Model, examples: Examples, recipe: RecipeSettings) -> keras.Model:
    """Return a model trained on the engine."""
    with tempfile.TemporaryDirectory() as folder:
        train(model, examples, recipe, "none", seed=SEED, folder=Path(folder))
    return model


def on_logits(network: keras.Model, seen: Examples) -> Score:
    """Return the score of a small network on the sorted log-probabilities."""
    logits = logits_of(network)

    def features(images: np.ndarray) -> np.ndarray:
        return np.asarray(logits.predict(scaled(images), verbose=0, batch_size=BATCH), np.float32)

    inputs = keras.Input((logits.output_shape[-1],))
    x = keras.ops.sort(keras.ops.log_softmax(inputs), axis=-1)
    x = keras.layers.Dense(2)(keras.layers.Dense(64, activation="relu")(x))
    head = keras.Model(inputs, keras.layers.Softmax()(x))
    given = Examples(features(seen.inputs), seen.labels, seen.train, seen.validation, 2)
    fitted(head, given, ADAM.model_copy(update={"epochs": 20}))
    return lambda images: np.asarray(head.predict(features(images), verbose=0))[:, 1]


def by_autoencoder(network: keras.Model, images: np.ndarray) -> dict[str, Score]:
    """Return the scores of an autoencoder trained on clean images with a little noise."""
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

    def again(given: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(scaled(given), verbose=0, batch_size=BATCH))

    def softened(given: np.ndarray) -> np.ndarray:
        values = logits.predict(given, verbose=0, batch_size=BATCH)
        return np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(values / 10)))

    def divergence(given: np.ndarray) -> np.ndarray:
        p, q = softened(scaled(given)), softened(again(given))
        middle = (p + q) / 2
        return np.asarray(p * np.log(p / middle) + q * np.log(q / middle)).sum(axis=1) / 2

    return {
        "autoencoder, error": lambda given: np.abs(again(given) - scaled(given)).mean((1, 2, 3)),
        "autoencoder, answer": divergence,
    }


def main() -> None:
    """Train, attack, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--epochs", type=int, default=15, help="of the network")
    parser.add_argument("--steps", type=int, default=10, help="of PGD")
    given = parser.parse_args()
    print_machine()
    images = image_set(source_from(given.dataset), size=SIZE)
    order = np.random.default_rng(SEED).permutation(len(images.labels))
    test, train_rows = np.sort(order[:340]), np.sort(order[340:])
    whole = Examples(images.images, images.labels, train_rows, test, 17)
    network = build("baseline", (SIZE, SIZE, 3), seed=SEED)
    fitted(network, whole, RecipeSettings(epochs=given.epochs, selection="last"))

    def attacked(rows: np.ndarray, budgets: tuple[int, ...]) -> dict[str, np.ndarray]:
        clean, labels = scaled(images.images[rows]), images.labels[rows]
        return detector.adversarial_images(
            network, clean, labels, budgets, n_steps=given.steps, seed=SEED
        )

    held_out = np.arange(0, len(train_rows), 5)
    seen = np.setdiff1d(np.arange(len(train_rows)), held_out)
    clean = images.images[train_rows]
    examples = detector.examples(clean, list(attacked(train_rows, (2, 4)).values()), seen, held_out)
    plain = build(PLAIN_CNN.name, (SIZE, SIZE, 3), 2, definitions=[PLAIN_CNN], seed=SEED)
    fitted(plain, examples, ADAM)
    ours = fitted(detector.untrained(SIZE, SEED), examples, ADAM)
    scores: dict[str, Score] = {
        "CNN on the image": lambda one: detector.scores(plain, scaled(one)),
        "CNN on the residual": lambda one: detector.scores(ours, scaled(one)),
        "network on the logits": on_logits(network, examples),
        **by_autoencoder(network, clean),
    }
    tested: dict[str, Any] = attacked(test, (1, 2, 4))
    labels = np.repeat([0, 1], len(test))
    for name, score in scores.items():
        known = score(images.images[test])
        areas = (
            f"{attack} {roc_auc_score(labels, np.concatenate([known, score(made)])):.3f}"
            for attack, made in tested.items()
        )
        print(f"{name:24} area under the ROC curve: {'  '.join(areas)}", flush=True)
    threshold = detector.threshold(detector.scores(ours, scaled(clean[held_out])), 0.05)
    both = [defences.undefended(network), defences.detected("detector", network, ours, threshold)]
    truth, budgets = images.labels[test], (1, 2, 4, 8)
    found = defences.attacked(
        both, scaled(images.images[test]), truth, budgets, n_steps=given.steps, seed=SEED
    )
    right = (probabilities(network, scaled(images.images[test])).argmax(axis=1) == truth).mean()
    print(f"network alone: clean {right:.3f}")
    for number, one in enumerate(both):
        before, after = (found[f"{number:02d}-{name}"] for name in ("before", "after"))
        summary = defences.summary(one, before, after, truth, budgets)
        print(f"{one.name}: clean {summary['n_right'] / 340:.3f}")
        for run in summary["runs"]:
            print(
                f"  {run['view']:24} {run['attack']} {run['epsilon']:g}/255: withstood "
                f"{run['n_withstood'] / 340:.3f}, refused {run['n_refused'] / 340:.3f}"
            )


if __name__ == "__main__":
    main()
