"""Structural similarity (SSIM): likeness of two images to the human eye, unlike a norm."""

import numpy as np
from scipy.ndimage import gaussian_filter

from flowers17.errors import InvalidInput

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2


def ssim(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Mean structural similarity of each image to its reference, 1 if they are equal: float64 (n,).

    images, references: float (n, h, w, c) in [0, 1], at least 11 pixels high and wide. Each channel
    is compared by itself under Gaussian windows of 11 × 11 pixels that lie inside the image.
    Raises InvalidInput for other shapes.
    Source: Wang et al. 2004, IEEE Trans. Image Processing 13:600, equation 13.
    """
    if images.shape != references.shape or images.ndim != 4 or min(images.shape[1:3]) <= 2 * RADIUS:
        raise InvalidInput(
            f"images: expected two of (n, h, w, c), {2 * RADIUS + 1} pixels or more a side, got "
            f"{images.shape} and {references.shape}"
        )
    return np.array([_similarity(*pair) for pair in zip(images, references, strict=True)])


def _similarity(image: np.ndarray, reference: np.ndarray) -> float:
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    denominator = (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    return float((numerator / denominator).mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Means under the window, at the positions where it lies inside."""
    means = gaussian_filter(values, (SIGMA, SIGMA, 0), radius=(RADIUS, RADIUS, 0))
    return np.asarray(means[RADIUS:-RADIUS, RADIUS:-RADIUS])
