"""SSIM against its definition, worked out window by window."""

import numpy as np

from flowers17.robustness.evaluation import ssim


def _by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 13 of the paper, averaged over all windows that lie inside; one channel."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (image[row : row + 11, column : column + 11] for image in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            spread_a = (window * (a - mean_a) ** 2).sum()
            spread_b = (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            numerator = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
            values.append(
                numerator / ((mean_a**2 + mean_b**2 + 1e-4) * (spread_a + spread_b + 9e-4))
            )
    return float(np.mean(values))


def test_equals_the_definition() -> None:
    x, y = np.random.default_rng(1).random((2, 2, 16, 14, 3))
    expected = [
        np.mean([_by_definition(image[..., c], reference[..., c]) for c in range(3)])
        for image, reference in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y), expected, rtol=1e-9)


def test_of_the_same_pictures_is_one() -> None:
    x = np.random.default_rng(1).random((2, 11, 11, 1)).astype(np.float32)
    assert ssim(x, x).tolist() == [1.0, 1.0]
