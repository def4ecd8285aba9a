"""A detector that tells adversarial from clean images, and an attack that evades it.

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
from flowers17.robustness.filters import Gaussian
from flowers17.robustness.gradients import logits_of, loss_gradients
from flowers17.robustness.pgd import REACH, fgsm_and_pgd, projected_steps

CLEAN, ADVERSARIAL = 0, 1
BLUR_SIGMA, CONTRAST = 0.8, 32.0
LARGEST_SCORE = 1 - 2.0**-25  # larger numbers are 1 in float32
NO_ALARM = 1e6  # far above a detector's logits, and finite, as gradients need it
STEP_SIGMA = 2.0  # of an evasive step's blur, in pixels; well above BLUR_SIGMA


def initial_detector(size: int, seed: int) -> keras.Model:
    """Untrained detector: a small CNN, float32 (n, size, size, 3) in [0, 1] → probabilities (n, 2).

    Its classes are CLEAN and ADVERSARIAL; its last layer is the softmax alone.
    """
    return build(f"{__name__}:residual_cnn", (size, size, 3), 2, seed=seed)


def residual_cnn(input_shape: Shape, n_classes: int) -> keras.Model:
    """CNN on the residual of a blur: an image minus its blurred copy, where perturbations are.

    From the images themselves it learns nothing: their content hides so small a perturbation.
    """
    layers = keras.layers
    inputs = keras.Input(input_shape)
    x = (inputs - Gaussian(BLUR_SIGMA)(inputs)) * CONTRAST
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
    """Training examples of a detector: as many clean images as adversarial ones.

    images: uint8 (n, size, size, 3), clean. adversarial: of each attack, the same, row by row.
    train, held_out: int, rows; the held-out images choose the epoch and the threshold.
    """
    n, n_attacks = len(images), len(adversarial)
    inputs = np.concatenate([*[images] * n_attacks, *adversarial])
    labels = np.repeat([CLEAN, ADVERSARIAL], n * n_attacks)
    train_rows, held_out_rows = (
        np.concatenate([rows + n * copy for copy in range(2 * n_attacks)])
        for rows in (train, held_out)
    )
    return Examples(inputs, labels, train_rows, held_out_rows, 2)


def adversarial_scores(detector: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probability of each float32 image in [0, 1] of being adversarial: float32 (n,)."""
    return probabilities(detector, checked_images(images))[:, ADVERSARIAL]


def refusal_threshold(clean_scores: np.ndarray, false_alarm_rate: float) -> float:
    """Threshold for a false-alarm rate: images with this score or a higher one are refused.

    The false-alarm rate is the share of clean images that are refused.
    clean_scores: float (n,) in [0, 1], of clean images that the detector was not trained on.
    false_alarm_rate: at most, in [0, 1); the rate is lower where scores are equal, since images of
    equal score are all refused or all accepted. Returns infinity, so that no image is refused,
    where too many clean images have score 1.

    >>> refusal_threshold(np.array([0.1, 0.2, 0.3, 0.9]), 0.25)
    0.9
    >>> refusal_threshold(np.array([0.1, 0.2, 0.3, 0.9]), 0.0) > 0.9
    True
    >>> refusal_threshold(np.array([0.1, 0.3, 0.3, 0.9]), 0.5)
    0.9
    >>> refusal_threshold(np.array([0.1, 0.2, 0.3, 1.0]), 0.0)
    inf
    """
    if not len(clean_scores) or not 0 <= false_alarm_rate < 1:
        raise InvalidInput(
            "threshold: expected scores of clean images and a share of them from 0 to below 1, got "
            f"{len(clean_scores)} and {false_alarm_rate!r}"
        )
    # In the dtype of the scores: the next float64 is the same float32.
    scores = np.sort(clean_scores)
    accepted = scores[-1 - int(false_alarm_rate * len(scores))]  # the largest that may be accepted
    larger = scores[scores > accepted]
    refused = larger[0] if len(larger) else np.nextafter(accepted, np.inf)
    return float(refused) if refused <= 1 else inf


def joint_model(model: keras.Model, detector: keras.Model, threshold: float) -> keras.Model:
    """Network and detector as one model with a further, last class: refused.

    threshold: images with this score or a higher one are refused; at the threshold the last class
    has probability 1/2. Infinity: no image is refused. The other classes share the rest in the
    ratio of the network's probabilities. An attack towards a class of this model has to fool both,
    and follows the gradients of both.
    Raises InvalidInput if a model has no gradient, or the threshold is neither in (0, 1] nor
    infinity.
    """
    if not (0 < threshold <= 1 or threshold == inf):
        raise InvalidInput(
            f"threshold: expected a score above 0, at most 1, or infinity, got {threshold!r}"
        )
    shape = tuple(model.input_shape[1:])
    inputs = keras.Input(shape)
    log_proba = ops.log_softmax(ops.cast(logits_of(model, shape)(inputs), "float32"))
    alarm = ops.cast(logits_of(detector, shape)(inputs), "float32")
    score = min(threshold, LARGEST_SCORE)
    log_odds = NO_ALARM if threshold == inf else log(score / (1 - score))
    alarm = alarm[:, ADVERSARIAL:] - alarm[:, :ADVERSARIAL] - log_odds
    joint = ops.concatenate([log_proba + ops.log_sigmoid(-alarm), ops.log_sigmoid(alarm)], axis=-1)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(joint))


def runner_up_classes(proba: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Most probable class of each image other than its label: int64 (n,).

    proba: float (n, n_classes). labels: int (n,).
    """
    candidates = proba.copy()
    candidates[np.arange(len(labels)), checked_labels(labels, len(proba), proba.shape[1])] = -1
    return candidates.argmax(axis=1).astype(np.int64)


def adversarial_images(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    n_steps: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Adversarial images of FGSM and PGD at each budget, as 8-bit files hold them.

    images: float32 (n, h, w, c) in [0, 1]; labels: int (n,). epsilons: budgets in 255ths.
    Returns uint8 (n, h, w, c) by attack and budget.
    """
    budgets = [epsilon / 255 for epsilon in epsilons]
    results = fgsm_and_pgd(model, images, labels, budgets, n_steps=n_steps, seed=seed)
    names = [f"{attack}-{epsilon:g}" for attack in ("fgsm", "pgd") for epsilon in epsilons]
    return {
        name: np.rint(result.adversarial * 255).astype(np.uint8)
        for name, result in zip(names, results, strict=True)
    }


def blurred_descent(
    model: keras.Model, images: np.ndarray, targets: np.ndarray, *, epsilon: float, n_steps: int
) -> np.ndarray:
    """Targeted attack by smooth steps, within a budget: float32 (n, h, w, c).

    It evades a detector on the residual of a blur: each step follows the blurred gradient, scaled
    to a largest component of 1, and starts from the image, since noise would raise the alarm.
    images: float32 (n, h, w, c) in [0, 1]; targets: int (n,). epsilon: L-infinity budget.
    """

    def directions(perturbed: np.ndarray) -> np.ndarray:
        gradients = loss_gradients(model, perturbed, targets)
        steps = gaussian_filter(gradients, (0, STEP_SIGMA, STEP_SIGMA, 0))
        largest = np.abs(steps).max(axis=(1, 2, 3), keepdims=True)
        return np.asarray(-steps / np.where(largest > 0, largest, 1))

    size = min(epsilon, REACH * epsilon / n_steps)
    return projected_steps(images, images, directions, epsilon=epsilon, step=size, n_steps=n_steps)
