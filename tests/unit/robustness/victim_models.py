"""Victim models: a linear one whose attacks are computed by hand, and a small trained one."""

from functools import cache
from typing import Any

import keras
import numpy as np

from flowers17.robustness.gradients import jacobian_and_logits

SHAPE, N_CLASSES = (4, 5, 3), 3
N_FEATURES = 60


def weights(seed: int = 1) -> np.ndarray:
    """Weights of the linear model, float32 (features, classes)."""
    return np.random.default_rng(seed).normal(size=(N_FEATURES, N_CLASSES)).astype(np.float32)


def linear(scale: float = 1.0, *, ending: str = "layer") -> keras.Model:
    """softmax(scale · W x), the softmax a layer or the dense layer's activation."""
    inputs = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(inputs)
    activation = "softmax" if ending == "activation" else None
    dense = keras.layers.Dense(N_CLASSES, activation=activation)
    outputs = dense(flat)
    if ending == "layer":
        outputs = keras.layers.Softmax()(outputs)
    if ending == "operation":
        outputs = keras.ops.softmax(outputs, axis=-1)
    if ending == "unknown":
        shares = keras.ops.exp(outputs - keras.ops.max(outputs, axis=-1, keepdims=True))
        outputs = shares / keras.ops.sum(shares, axis=-1, keepdims=True)
    model = keras.Model(inputs, outputs)
    dense.set_weights([weights() * np.float32(scale), np.zeros(N_CLASSES, np.float32)])
    return model


def images(n: int, seed: int = 2, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Random images, float32 (n, *shape) in [0, 1]."""
    return np.random.default_rng(seed).random((n, *shape), np.float32)


def linear_gradient(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """W (p - onehot), the cross-entropy's gradient of the linear model, in float64."""
    w = weights().astype(np.float64)
    logits = x.reshape(len(x), -1).astype(np.float64) @ w
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return ((proba - np.eye(N_CLASSES)[labels]) @ w.T).reshape(x.shape)


class Subclassed(keras.Model):
    """A network without a functional graph."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(N_CLASSES)
        self.softmax = keras.layers.Softmax()

    def call(self, inputs: Any) -> Any:
        """Probabilities."""
        return self.softmax(self.dense(self.flat(inputs)))


SIDE = 8


def spots(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with a bright quarter, and its index, one of three."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, N_CLASSES, n)
    images_ = random.random((n, SIDE, SIDE, 1), np.float32) * np.float32(0.7)
    for row, label in enumerate(labels):
        top, left = 4 * (label // 2), 4 * (label % 2)
        images_[row, top : top + 4, left : left + 4] += np.float32(0.15)
    return images_, labels


@cache
def trained_cnn() -> keras.Model:
    """Small CNN that classifies the quarters."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(N_CLASSES),
            layers.Softmax(),
        ]
    )
    images_, labels = spots(600, 4)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images_, labels, epochs=12, batch_size=50, verbose=0)
    return model


def class_gradients(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the gradient of one class's logit for each image, of all logits' gradients."""
    return jacobian_and_logits(model, images)[0][np.arange(len(images)), classes]
