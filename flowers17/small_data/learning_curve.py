"""Learning curve of a data set: accuracy against the number of training images, and beyond it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from flowers17.errors import InvalidInput
from flowers17.seeds import generator

N_RESAMPLES = 300
_STEEPEST = 2.0  # exponent; of error rates, learning theory and practice know 0.5 to 1


def nested_parts(
    labels: np.ndarray,
    groups: np.ndarray,
    train: np.ndarray,
    shares: Sequence[float],
    seed: int,
) -> list[np.ndarray]:
    """Growing parts of a split's training rows, each within the next: int64, sorted.

    A part has that share of each class, at least one image; near-duplicates, of equal `groups`,
    enter it together, so that it may have a few more. There is a part for each share, the smallest
    first.
    """
    own_labels, group = labels[train], np.unique(groups[train], return_inverse=True)[1]
    place = generator(seed, "nested-parts").permutation(group.max() + 1)[group]
    n_before = np.empty(len(train), np.int64)  # images of the class in groups that enter earlier
    for label in np.unique(own_labels):
        own = own_labels == label
        n_before[own] = np.searchsorted(np.sort(place[own]), place[own])
    n_of_class = np.bincount(own_labels)[own_labels]
    return [
        np.sort(train[n_before < np.maximum(1, np.round(share * n_of_class))])
        for share in sorted(shares)
    ]


@dataclass(frozen=True)
class PowerLaw:
    """Accuracy a - b (n / scale)^-c of n training images; scale: those that b is the loss at."""

    a: float
    b: float
    c: float
    scale: float

    def accuracy(self, n_images: Any) -> Any:
        """Accuracy at numbers of training images, cut to [0, 1]."""
        return np.clip(self.a - self.b * (np.asarray(n_images) / self.scale) ** -self.c, 0, 1)


def power_law(n_images: np.ndarray, accuracies: np.ndarray) -> PowerLaw:
    """Power law of least squares through m points of a learning curve, both (m,).

    Its limit a is at most 1 and its exponent c at most 2. It may fall, b < 0, so that the gain of
    more images is not positive by construction.
    Raises InvalidInput for fewer than four points.
    Source: Figueroa et al. 2012, "Predicting sample size required for classification performance".
    """
    if len(n_images) < 4:
        raise InvalidInput(
            f"learning curve: expected at least 4 sizes of the training part, got {len(n_images)}; "
            "add images, or shares to next_steps.shares"
        )
    scale = float(n_images.max())

    def law(n: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return np.asarray(a - b * (n / scale) ** -c)

    last = float(np.clip(accuracies[-1], 0.01, 0.98))
    start = ((1 + last) / 2, (1 - last) / 2, 0.5)
    bounds = ([0, -1, 0.02], [1, 1, _STEEPEST])
    (a, b, c), _ = curve_fit(law, n_images, accuracies, start, bounds=bounds, max_nfev=2000)
    return PowerLaw(float(a), float(b), float(c), scale)


@dataclass(frozen=True)
class Projection:
    """Accuracy that a power law gives for more training images, and what they gain.

    interval, gain_interval: of 95 %; None for a single split.
    """

    law: PowerLaw
    n_images: int
    accuracy: float
    interval: tuple[float, float] | None
    gain: float
    gain_interval: tuple[float, float] | None


def projection(
    n_images: np.ndarray,
    accuracies: np.ndarray,
    *,
    held_out_ratio: float,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> Projection:
    """Accuracy with twice the images of a learning curve's end.

    n_images: (m,); accuracies: float (k, m), of k splits. held_out_ratio: held-out images to
    training images of a split. The law is fitted again to `n_resamples` bootstrap samples of the
    splits. These share their images, so that deviations are stretched by √(1 + k held_out_ratio),
    as Nadeau and Bengio (2003) correct the variance of a mean over splits.
    Raises InvalidInput as `power_law` does.
    """
    k, n_more = len(accuracies), round(2 * float(n_images.max()))
    ends = [n_images.max(), n_more]
    law = power_law(n_images, accuracies.mean(axis=0))
    now, then = law.accuracy(ends).tolist()
    if k == 1:
        return Projection(law, n_more, then, None, then - now, None)
    samples = generator(seed, "bootstrap").integers(k, size=(n_resamples, k))
    curves = [accuracies[sample].mean(axis=0) for sample in samples]
    fitted = np.array([power_law(n_images, curve).accuracy(ends) for curve in curves])
    stretch = np.sqrt(1 + k * held_out_ratio)

    def interval(value: float, values: np.ndarray, least: float) -> tuple[float, float]:
        low, high = value + stretch * (np.quantile(values, [0.025, 0.975]) - value)
        return max(least, float(low)), min(1.0, float(high))

    gains = fitted[:, 1] - fitted[:, 0]
    of_accuracy = interval(then, fitted[:, 1], 0.0)
    return Projection(law, n_more, then, of_accuracy, then - now, interval(then - now, gains, -1.0))
