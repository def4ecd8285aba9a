"""Comparison of detectors of adversarial images, under attackers who do not know them.

A Baseline is trained and attacked. Detectors are compared on images that neither the Baseline
nor they were trained on: a CNN on the images, a CNN on the images minus their blurred copies (the
project's), a network on the logits, an autoencoder, by its reconstruction error and by the
change of the network's output (MagNet, Meng and Chen 2017, arXiv:1705.09064), and the
discriminator of a GAN (Goodfellow et al. 2014, arXiv:1406.2661), on the images and on the same
residual. Autoencoder and GAN see clean images alone.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, options_of

from flowers17.learners.devices import prepare

prepare("cpu", "float32", SEED)

import keras  # noqa: E402
from scipy.spatial.distance import jensenshannon  # noqa: E402
from scipy.special import softmax  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from flowers17.config import LearnerDefinition, RecipeSettings  # noqa: E402
from flowers17.data.images import image_set  # noqa: E402
from flowers17.data.source import source_from  # noqa: E402
from flowers17.learners.examples import Examples  # noqa: E402
from flowers17.learners.images import scaled  # noqa: E402
from flowers17.learners.networks import build  # noqa: E402
from flowers17.learners.training import train  # noqa: E402
from flowers17.robustness import detector  # noqa: E402
from flowers17.robustness.filters import Gaussian  # noqa: E402
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
        return np.asarray(softmax(values / 10, axis=1))

    def divergence(pixels: np.ndarray) -> np.ndarray:
        answers = softened(scaled(pixels)), softened(reconstructed(pixels))
        return np.asarray(jensenshannon(*answers, axis=1)) ** 2

    return {
        "autoencoder, error": lambda pixels: np.abs(reconstructed(pixels) - scaled(pixels)).mean(
            (1, 2, 3)
        ),
        "autoencoder, answer": divergence,
    }


def by_discriminator(images: np.ndarray, n_steps: int, *, residual: bool) -> Score:
    """Scores of a GAN's discriminator: how much rather generated than real an image looks to it.

    residual: whether it sees images minus their blurred copies. Sizes are a quarter of DCGAN's
    (Radford et al. 2016, arXiv:1511.06434).
    """
    layers, random = keras.layers, np.random.default_rng(SEED)

    def discriminator() -> keras.Model:
        pixels = keras.Input((SIZE, SIZE, 3))
        blurred = Gaussian(detector.BLUR_SIGMA)(pixels) if residual else 0.5
        x = (pixels - blurred) * (detector.CONTRAST if residual else 2.0)
        for n_filters in (16, 32, 64):
            x = layers.Conv2D(n_filters, 5, 2, "same", activation="elu")(x)
            x = layers.Dropout(0.3)(x)
        return keras.Model(pixels, layers.Dense(1)(layers.Flatten()(x)))

    code = keras.Input((64,))
    x = layers.Reshape((8, 8, 64))(layers.Dense(8 * 8 * 64, activation="relu")(code))
    for n_filters in (64, 32, 16):
        x = layers.Conv2DTranspose(n_filters, 4, 2, "same", activation="relu")(x)
    generator = keras.Model(code, layers.Conv2D(3, 5, padding="same", activation="sigmoid")(x))
    # The generator learns by the gradient of a frozen copy.
    judge, frozen = discriminator(), discriminator()
    frozen.trainable = False
    forger = keras.Sequential([code, generator, frozen])
    for model in (judge, forger):
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(2e-4, 0.5), loss)
    clean, n = scaled(images), BATCH // 2
    truth = np.repeat(np.float32([[1], [0]]), n, axis=0)
    for _ in range(n_steps):
        codes = random.normal(size=(n, 64)).astype(np.float32)
        rows = random.choice(len(clean), n, replace=False)
        forged = np.asarray(generator.predict_on_batch(codes))
        judge.train_on_batch(np.concatenate([clean[rows], forged]), truth)
        frozen.set_weights(judge.get_weights())
        forger.train_on_batch(codes, truth[:n])
    return lambda pixels: -judge.predict(scaled(pixels), verbose=0, batch_size=BATCH)[:, 0]


def main() -> None:
    """Train and attack the network; train and compare the detectors."""
    options = options_of(
        __doc__,
        "dataset",
        epochs={"default": 15, "help": "of the network"},
        steps={"default": 10, "help": "of PGD"},
        gan_steps={"default": 480, "help": "of the GANs, of 64 images each"},
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

    def on_pixels(untrained: keras.Model) -> Score:
        cnn = fitted(untrained, examples, ADAM)
        return lambda pixels: detector.adversarial_scores(cnn, scaled(pixels))

    def scores() -> Iterator[tuple[str, Score]]:
        """Yield each detector, trained at its turn."""
        yield "CNN on the residual", on_pixels(detector.initial_detector(SIZE, SEED))
        for residual in (True, False):
            name = "GAN, residual" if residual else "GAN, image"
            yield name, by_discriminator(clean, options.gan_steps, residual=residual)
        yield from by_autoencoder(network, clean).items()
        yield "network on the logits", on_logits(network, examples)
        plain = build(PLAIN_CNN.name, (SIZE, SIZE, 3), 2, definitions=[PLAIN_CNN], seed=SEED)
        yield "CNN on the image", on_pixels(plain)

    test_images: dict[str, Any] = adversarial_by_attack(test, (1, 2, 4))
    labels = np.repeat([0, 1], len(test))
    for name, score in scores():
        clean_scores = score(images.images[test])
        areas = (
            f"{attack} {roc_auc_score(labels, np.concatenate([clean_scores, score(pixels)])):.3f}"
            for attack, pixels in test_images.items()
        )
        print(f"{name:24} area under the ROC curve: {'  '.join(areas)}", flush=True)


if __name__ == "__main__":
    main()
