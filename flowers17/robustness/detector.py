"""A detector that tells adversarial from clean images, and the attack that knows of it.

Source: Metzen et al. 2017, arXiv:1702.04267 (a network as detector); Carlini and Wagner 2017,
arXiv:1705.07263, section 2.4 (network and detector as one classifier with a further class).
"""

from collections.abc import Sequence
from math import inf, log

import keras
import numpy as np
from keras import ops
from scipy.ndimage import gaussian_filter

from flowers17.errors import InvalidInput
from flowers17.learners.examples import Examples
from flowers17.learners.networks import Shape, build
from flowers17.robustness.base import checked_images, checked_labels, probabilities
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.filters import Gaussian
from flowers17.robustness.gradients import loss_gradients
from flowers17.robustness.logits import logits_of
from flowers17.robustness.pgd import REACH, pgd, projected

CLEAN, ADVERSARIAL = 0, 1
BLUR, CONTRAST = 0.8, 32.0
LARGEST = 1 - 2.0**-25  # a float32 score of 1 is anything from here on
NOTHING = 1e6  # far above a detector's logits, and finite, as gradients need it
SMOOTH = 2.0  # standard deviation of an evasive step's blur, in pixels; well above BLUR


def untrained(size: int, seed: int) -> keras.Model:
    """Return a small CNN, float32 (n, size, size, 3) in [0, 1] → probabilities (n, 2).

    Its classes are CLEAN and ADVERSARIAL; its last layer is the softmax alone.
    """
    return build(f"{__name__}:residual_cnn", (size, size, 3), 2, seed=seed)


def residual_cnn(input_shape: Shape, n_classes: int) -> keras.Model:
    """Return a CNN that sees only what a blur takes away, where perturbations are.

    Of the images themselves it learns nothing: their content hides so small a change.
    """
    layers = keras.layers
    inputs = keras.Input(input_shape)
    x = (inputs - Gaussian(BLUR)(inputs)) * CONTRAST
    for n_filters in (16, 32):
        x = layers.Conv2D(n_filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(32, activation="relu")(x)
    x = layers.Dense(n_classes, dtype="float32")(x)
    return keras.Model(inputs, layers.Softmax(dtype="float32")(x), name="detector")


def examples(
    images: np.ndarray, adversarial: Sequence[np.ndarray], train: np.ndarray, held_out: np.ndarray
) -> Examples:
    """Return what a detector is trained on: clean images as often as adversarial ones.

    images: uint8 (n, size, size, 3). adversarial: of each attack, its images alike, row by row.
    train, held_out: rows, int; what comes of the latter chooses the epoch and the threshold.
    Raises InvalidInput if an attack's images are not of the same shape, or there is none.
    """
    if not adversarial or any(
        (one.dtype, one.shape) != (np.uint8, images.shape) for one in adversarial
    ):
        raise InvalidInput(
            f"adversarial: expected uint8 {images.shape} of one attack or more, got "
            f"{[(str(one.dtype), one.shape) for one in adversarial]}"
        )
    n, times = len(images), len(adversarial)
    every = np.concatenate([*[images] * times, *adversarial])
    labels = np.repeat([CLEAN, ADVERSARIAL], n * times)
    seen, chosen = (
        np.concatenate([rows + n * number for number in range(2 * times)])
        for rows in (train, held_out)
    )
    return Examples(every, labels, seen, chosen, 2)


def scores(detector: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the probability of being adversarial, float32 (n,), of float32 images in [0, 1]."""
    return probabilities(detector, checked_images(images))[:, ADVERSARIAL]


def threshold(clean_scores: np.ndarray, false_alarms: float) -> float:
    """Return the score from which on an image is refused, so that a share of clean ones is.

    clean_scores: float (n,) in [0, 1], of clean images that the detector was not trained on.
    false_alarms: the share at most, in [0, 1); it is less where scores are equal, since all of them
    are refused or none. Infinity: no image is refused, since too many clean ones have score 1.

    >>> threshold(np.array([0.1, 0.2, 0.3, 0.9]), 0.25)
    0.9
    >>> threshold(np.array([0.1, 0.2, 0.3, 0.9]), 0.0) > 0.9
    True
    >>> threshold(np.array([0.1, 0.3, 0.3, 0.9]), 0.5)
    0.9
    >>> threshold(np.array([0.1, 0.2, 0.3, 1.0]), 0.0)
    inf
    """
    if not len(clean_scores) or not 0 <= false_alarms < 1:
        raise InvalidInput(
            "threshold: expected scores of clean images and a share of them from 0 to below 1, got "
            f"{len(clean_scores)} and {false_alarms!r}"
        )
    # In the precision that scores are compared in: the next float64 is the same float32.
    ordered = np.sort(clean_scores)
    kept = ordered[-1 - int(false_alarms * len(ordered))]  # the largest score not to be refused
    larger = ordered[ordered > kept]
    found = larger[0] if len(larger) else np.nextafter(kept, np.inf)
    return float(found) if found <= 1 else inf


def guarded(model: keras.Model, detector: keras.Model, refused_from: float) -> keras.Model:
    """Return network and detector as one model with a further, last class: refused.

    refused_from: the score from which on an image is refused; there its class has probability 1/2.
    Infinity: none is refused. The other classes share what is left as the network's probabilities
    do. An attack towards a class of this model has to mislead both, and follows the gradients of
    both.
    Raises InvalidInput if a model cannot be followed, or the score is neither in (0, 1] nor
    infinity.
    """
    if not (0 < refused_from <= 1 or refused_from == inf):
        raise InvalidInput(
            f"refused_from: expected a score above 0, at most 1, or infinity, got {refused_from!r}"
        )
    shape = tuple(model.input_shape[1:])
    inputs = keras.Input(shape)
    classes = ops.log_softmax(ops.cast(logits_of(model, shape)(inputs), "float32"))
    alarm = ops.cast(logits_of(detector, shape)(inputs), "float32")
    alarm = alarm[:, ADVERSARIAL:] - alarm[:, :ADVERSARIAL] - _log_odds(refused_from)
    joint = ops.concatenate([classes + ops.log_sigmoid(-alarm), ops.log_sigmoid(alarm)], axis=-1)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(joint))


def _log_odds(refused_from: float) -> float:
    score = min(refused_from, LARGEST)
    return NOTHING if refused_from == inf else log(score / (1 - score))


def runners_up(proba: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the most probable class of each image other than its label: int64 (n,).

    proba: float (n, n_classes). labels: int (n,).
    """
    others = proba.copy()
    others[np.arange(len(labels)), checked_labels(labels, len(proba), proba.shape[1])] = -1
    return others.argmax(axis=1).astype(np.int64)


def adversarial_images(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    n_steps: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return what FGSM and PGD make of n images at each budget: uint8 (n, h, w, c), as files do.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilons: budgets in 255ths.
    """
    budgets = [one / 255 for one in epsilons]
    found = {
        f"fgsm-{one:g}": result
        for one, result in zip(epsilons, fgsm(model, images, labels, epsilon=budgets), strict=True)
    }
    for one, budget in zip(epsilons, budgets, strict=True):
        found[f"pgd-{one:g}"] = pgd(
            model,
            images,
            labels,
            epsilon=budget,
            n_steps=n_steps,
            seed=seed,
        )
    return {name: np.rint(one.adversarial * 255).astype(np.uint8) for name, one in found.items()}


def blurred_descent(
    model: keras.Model, images: np.ndarray, targets: np.ndarray, *, epsilon: float, n_steps: int
) -> np.ndarray:
    """Return images led towards targets by smooth steps, within a budget: float32 (n, h, w, c).

    images: float32 (n, h, w, c) in [0, 1]; targets: int (n,). epsilon: L-infinity budget.
    Against a detector that sees what a blur takes away: each step is the gradient blurred, as far
    at its largest as a sign would go; it starts from the image, since noise would raise the alarm.
    """

    def directions(moved: np.ndarray) -> np.ndarray:
        steps = gaussian_filter(loss_gradients(model, moved, targets), (0, SMOOTH, SMOOTH, 0))
        largest = np.abs(steps).max(axis=(1, 2, 3), keepdims=True)
        return np.asarray(-steps / np.where(largest > 0, largest, 1))

    size = min(epsilon, REACH * epsilon / n_steps)
    return projected(images, images, directions, epsilon=epsilon, step=size, n_steps=n_steps)
