"""Structural similarity: how alike two pictures look, for people rather than for norms."""

import numpy as np
from scipy.ndimage import gaussian_filter

from flowers17.errors import InvalidInput

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2


def ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return each image's mean structural similarity to its other, 1 for the same: float64 (n,).

    images, others: float (n, h, w, c) in [0, 1], at least 11 pixels high and wide. Each channel is
    compared by itself under Gaussian windows of 11 × 11 pixels that lie wholly inside the image.
    Raises InvalidInput for other shapes.
    Source: Wang et al. 2004, IEEE Trans. Image Processing 13:600, equation 13.
    """
    if images.shape != others.shape or images.ndim != 4 or min(images.shape[1:3]) <= 2 * RADIUS:
        raise InvalidInput(
            f"images: expected two of (n, h, w, c), {2 * RADIUS + 1} pixels or more a side, got "
            f"{images.shape} and {others.shape}"
        )
    return np.array([_similarity(*pair) for pair in zip(images, others, strict=True)])


def _similarity(image: np.ndarray, other: np.ndarray) -> float:
    x, y = image.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    size = (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    return float((alike / size).mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Return means under the window, at the places where it lies inside."""
    means = gaussian_filter(values, (SIGMA, SIGMA, 0), radius=(RADIUS, RADIUS, 0))
    return np.asarray(means[RADIUS:-RADIUS, RADIUS:-RADIUS])
