"""Base of the attacks: checked inputs, batches of one size, and a result for each image."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.seeds import generator

Model = Callable[[Any], Any]

PIXELS_PER_BATCH = 2**19
MAX_BATCH_SIZE = 256
TOLERANCE = 1e-3


@dataclass(frozen=True)
class AttackResult:
    """An attack's outcome for n images.

    adversarial: float32 (n, h, w, c) in [0, 1]. predicted_before, predicted: int64 (n,), the class
    of the clean and of the adversarial image. success: bool (n,), predicted is the target, or
    without targets any class but the label; so an image misclassified before is a success as well.
    confidence_before, confidence_after: float64 (n,), the probability of the target, or without
    targets of the label. n_queries, n_gradients: int64 (n,), forward passes as each attack counts
    them, and backward passes. l0: float64 (n,), features (one channel of one pixel) that changed.
    l2, linf: float64 (n,), norms of the perturbation.
    """

    adversarial: np.ndarray
    success: np.ndarray
    predicted_before: np.ndarray
    predicted: np.ndarray
    confidence_before: np.ndarray
    confidence_after: np.ndarray
    n_queries: np.ndarray
    n_gradients: np.ndarray
    l0: np.ndarray
    l2: np.ndarray
    linf: np.ndarray


def attack_result(
    images: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    proba_before: np.ndarray,
    proba_after: np.ndarray,
    n_queries: int | np.ndarray,
    n_gradients: int | np.ndarray,
) -> AttackResult:
    """Outcome of an attack, with success and distortions computed from its images.

    images, adversarial: float32 (n, h, w, c). labels, targets: int (n,); labels are not read where
    there are targets. proba_before, proba_after: float (n, n_classes). n_queries, n_gradients: of
    every image alike, or int (n,).
    """
    goals = labels if targets is None else targets
    n = len(images)
    predicted = proba_after.argmax(axis=1).astype(np.int64)
    perturbation = (adversarial.astype(np.float64) - images).reshape(n, -1)
    return AttackResult(
        adversarial=adversarial,
        success=predicted != goals if targets is None else predicted == goals,
        predicted_before=proba_before.argmax(axis=1).astype(np.int64),
        predicted=predicted,
        confidence_before=proba_before[np.arange(n), goals].astype(np.float64),
        confidence_after=proba_after[np.arange(n), goals].astype(np.float64),
        n_queries=np.full(n, n_queries, np.int64),
        n_gradients=np.full(n, n_gradients, np.int64),
        l0=(perturbation != 0).sum(axis=1).astype(np.float64),
        l2=np.linalg.norm(perturbation, axis=1),
        linf=np.abs(perturbation).max(axis=1),
    )


def probabilities(model: Model, images: np.ndarray) -> np.ndarray:
    """Class probabilities that a model predicts for images: float32 (n, n_classes).

    model: a Keras model, or any function from float32 (k, h, w, c) to probabilities. It always gets
    the same number of images, so that an image's probabilities do not depend on the others.
    Raises InvalidInput if its outputs are no probabilities, or it takes images of another shape.
    """
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and not _fits(images.shape[1:], shape[1:]):
        raise InvalidInput(
            f"images: expected {shape[1:]} as the model takes them, got {images.shape[1:]}; resize "
            "them first"
        )
    import keras

    predict = model.predict_on_batch if isinstance(model, keras.Model) else model

    def checked_proba(batch: np.ndarray) -> np.ndarray:
        proba = keras.ops.convert_to_numpy(predict(batch))
        return checked_probabilities(proba, len(batch)).astype(np.float32)

    return np.concatenate([checked_proba(batch)[:n] for n, [batch] in batches(images)])


def batches(
    images: np.ndarray, *companions: np.ndarray, max_size: int = MAX_BATCH_SIZE
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield batches of one size: how many of a batch's images count, and its arrays.

    companions: arrays with one row an image, divided as the images are. The last batch is filled
    up with zeros. max_size: as of `batch_size`.
    """
    size = batch_size(images.shape, max_size)
    for start in range(0, len(images), size):
        batch = [array[start : start + size] for array in (images, *companions)]
        n = len(batch[0])
        if n < size:
            batch = [
                np.concatenate([array, np.zeros((size - n, *array.shape[1:]), array.dtype)])
                for array in batch
            ]
        yield n, batch


def batch_size(shape: tuple[int, ...], max_size: int = MAX_BATCH_SIZE) -> int:
    """Number of images (n, h, w, c) in a batch, from height and width alone.

    max_size: of small images, a power of 2.

    >>> batch_size((1, 28, 28, 1)), batch_size((500, 128, 128, 3)), batch_size((9, 224, 224, 3))
    (256, 32, 8)
    """
    fitting = max(8, PIXELS_PER_BATCH // (shape[1] * shape[2]))
    return int(min(max_size, 2 ** int(math.log2(fitting))))


def image_generator(seed: int, image: np.ndarray, *role: str | int) -> np.random.Generator:
    """Random generator of one image, from its content: the same in any batch and order."""
    content = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    return generator(seed, *role, content)


def checked_images(images: np.ndarray) -> np.ndarray:
    """Return images as they are; raises InvalidInput unless float32 (n, h, w, c) in [0, 1]."""
    images = np.asarray(images)
    if images.dtype != np.float32 or images.ndim != 4 or not images.size:
        raise InvalidInput(
            "images: expected float32 (n, h, w, c) with at least one image, got "
            f"{images.dtype} {images.shape}; for uint8 images see flowers17.learners.images.scaled"
        )
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
        raise InvalidInput(
            f"images: expected values in [0, 1], got {images.min():g} to {images.max():g}; "
            "divide 8-bit values by 255"
        )
    return images


def checked_labels(
    labels: np.ndarray, n: int, n_classes: int, *, name: str = "labels"
) -> np.ndarray:
    """Return labels as int64; raises InvalidInput unless int (n,) in [0, n_classes)."""
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (n,):
        raise InvalidInput(
            f"{name}: expected int ({n},), one an image, got {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InvalidInput(
            f"{name}: expected 0 to {n_classes - 1}, the model's classes, got {labels.min()} to "
            f"{labels.max()}"
        )
    return labels.astype(np.int64)


def checked_targets(targets: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return targets as int64; raises InvalidInput unless valid labels, none its image's label.

    labels: int (n,).
    """
    targets = checked_labels(targets, len(labels), n_classes, name="targets")
    if (targets == labels).any():
        row = int(np.flatnonzero(targets == labels)[0])
        raise InvalidInput(
            f"targets: expected another class than the label, got {targets[row]} for both of image "
            f"{row}; leave such images out"
        )
    return targets


def checked_victims(
    model: Model, images: np.ndarray, labels: np.ndarray, targets: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return images, the model's probabilities for them, labels and targets, each checked.

    Raises InvalidInput as `checked_images`, `checked_labels` and `checked_targets` do.
    """
    images = checked_images(images)
    proba = probabilities(model, images)
    labels = checked_labels(labels, *proba.shape)
    if targets is not None:
        targets = checked_targets(targets, labels, proba.shape[1])
    return images, proba, labels, targets


def checked_budget(value: float, name: str = "epsilon", *, positive: bool = False) -> float:
    """Return a budget; raises InvalidInput unless a finite number >= 0 (`positive`: > 0)."""
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{name}: expected a number of 0 or more, got {value!r}")
    if positive and value == 0:
        raise InvalidInput(f"{name}: expected a number above 0, got {value!r}")
    return float(value)


def checked_count(value: int, name: str, *, least: int = 1, most: int | None = None) -> int:
    """Return a count; raises InvalidInput unless an integer from `least` to `most`."""
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_count or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise InvalidInput(f"{name}: expected a whole number, {bounds}, got {value!r}")
    return int(value)


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        size is None or size == actual for actual, size in zip(shape, expected, strict=True)
    )


def checked_probabilities(proba: np.ndarray, n: int, name: str = "model") -> np.ndarray:
    """Return probabilities; raises InvalidInput unless (n, n_classes), each row 1 in sum."""
    proba = np.asarray(proba)
    if proba.ndim != 2 or len(proba) != n or proba.shape[1] < 2:
        raise InvalidInput(
            f"{name}: expected probabilities ({n}, n_classes), two classes or more, got shape "
            f"{proba.shape}"
        )
    sums = proba.sum(axis=1, dtype=np.float64)
    if not (np.abs(sums - 1) <= TOLERANCE).all() or proba.min() < -TOLERANCE:
        raise InvalidInput(
            f"{name}: expected probabilities, at least 0 and 1 in sum, got values from "
            f"{proba.min():g} and sums of {sums.min():g} to {sums.max():g}; let it end in a softmax"
        )
    return proba
