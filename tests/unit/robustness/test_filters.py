"""Filters equal scipy's and a table's, with exact or identity gradients."""

from typing import Any

import keras
import numpy as np
import pytest
from scipy import ndimage

from flowers17.config import FilterSettings
from flowers17.errors import InvalidInput
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.filters import (
    BitDepth,
    Filter,
    Gaussian,
    Median,
    filter_layer,
    filtered_model,
)
from flowers17.robustness.gradients import loss_gradients
from tests.unit.robustness.victim_models import (
    N_CLASSES,
    SHAPE,
    class_gradients,
    images,
    linear,
    weights,
)

X = images(5, shape=(12, 15, 3))
LABELS = np.arange(5) % N_CLASSES
EVERY = [Median(3), Gaussian(0.4), BitDepth(3)]


def _filtered(layer: Filter, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(layer(x)))


@pytest.mark.parametrize("size", [3, 5, 7])
def test_a_median_is_scipy_s(size: int) -> None:
    expected = ndimage.median_filter(X, (1, size, size, 1), mode="mirror")
    assert _filtered(Median(size), X).tolist() == expected.tolist()


@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.0, 1.6])
def test_a_gaussian_is_scipy_s(sigma: float) -> None:
    expected = ndimage.gaussian_filter(X.astype(np.float64), (0, sigma, sigma, 0), mode="mirror")
    np.testing.assert_allclose(_filtered(Gaussian(sigma), X), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("bits", "values", "expected"),
    [
        (1, [0, 0.49, 0.51, 1], [0, 0, 1, 1]),
        (2, [0.16, 0.17, 0.49, 0.51, 0.84], [0, 1 / 3, 1 / 3, 2 / 3, 1]),
        (3, [0.5, 0.07, 0.08], [4 / 7, 0, 1 / 7]),
        (8, [0.1, 254.4 / 255], [26 / 255, 254 / 255]),
    ],
)
def test_grey_levels_are_those_of_a_table(
    bits: int, values: list[float], expected: list[float]
) -> None:
    x = np.array(values, np.float32).reshape(1, 1, -1, 1)
    np.testing.assert_allclose(_filtered(BitDepth(bits), x).ravel(), expected, atol=1e-7)


@pytest.mark.parametrize("layer", EVERY, ids=lambda layer: type(layer).__name__)
def test_a_filter_filters_the_same_whatever_its_gradient(layer: Filter) -> None:
    strength = {"Median": 3, "Gaussian": 0.4, "BitDepth": 3}[type(layer).__name__]
    through: Any = type(layer)(strength, "identity")  # type: ignore[call-arg, arg-type]
    assert _filtered(through, X).tobytes() == _filtered(layer, X).tobytes()


def _kernel(sigma: float) -> np.ndarray:
    """Matrix of scipy's blur, (pixels, pixels)."""
    height, width = SHAPE[:2]
    points = np.eye(height * width).reshape(-1, height, width)
    blurred = ndimage.gaussian_filter(points, (0, sigma, sigma), mode="mirror")
    return np.asarray(blurred.reshape(height * width, -1))


def test_a_gradient_through_a_gaussian_is_the_transposed_blur_of_the_model_s() -> None:
    x, sigma = images(4), 0.5
    gradients = class_gradients(filtered_model(Gaussian(sigma), linear()), x, LABELS[:4])
    columns = weights().T[LABELS[:4]].reshape(4, -1, SHAPE[2]).astype(np.float64)
    by_hand = np.einsum("pq,nqc->npc", _kernel(sigma), columns).reshape(gradients.shape)
    np.testing.assert_allclose(gradients, by_hand, atol=1e-5)


def test_a_gradient_through_a_median_goes_to_the_pixel_that_is_the_median() -> None:
    x = images(3)
    gradients = class_gradients(filtered_model(Median(3), linear()), x, LABELS[:3])
    medians = ndimage.median_filter(x, (1, 3, 3, 1), mode="mirror")
    by_hand = np.zeros_like(gradients)
    height, width = SHAPE[:2]
    columns = weights().T[LABELS[:3]].reshape(gradients.shape)
    for image, row, column, channel in np.ndindex(gradients.shape):
        near = [
            (abs(row + down), abs(column + across)) for down in (-1, 0, 1) for across in (-1, 0, 1)
        ]
        near = [(min(r, 2 * height - 2 - r), min(c, 2 * width - 2 - c)) for r, c in near]
        value = medians[image, row, column, channel]
        [source] = {pixel for pixel in near if x[image, *pixel, channel] == value}
        by_hand[image, *source, channel] += columns[image, row, column, channel]
    np.testing.assert_allclose(gradients, by_hand, atol=1e-5)


def test_the_gradient_of_rounding_is_zero_and_the_identity_s_is_the_model_s() -> None:
    x = images(4)
    assert not loss_gradients(filtered_model(BitDepth(4), linear()), x, LABELS[:4]).any()
    through = class_gradients(filtered_model(BitDepth(4, "identity"), linear()), x, LABELS[:4])
    assert through.tolist() == weights().T[LABELS[:4]].reshape(through.shape).tolist()


@pytest.mark.parametrize("setting", [("median", 3), ("gaussian", 0.5), ("bits", 4)])
def test_an_attack_around_a_filter_follows_the_gradient_at_the_filtered_image(
    setting: tuple[Any, float],
) -> None:
    x = images(6)
    labels = np.arange(6) % N_CLASSES
    layer = filter_layer(FilterSettings(kind=setting[0], strength=setting[1]), "identity")
    result = fgsm(filtered_model(layer, linear()), x, labels, epsilons=[0.1])[0]
    signs = np.sign(loss_gradients(linear(), _filtered(layer, x), labels))
    assert result.adversarial.tolist() == np.clip(x + np.float32(0.1) * signs, 0, 1).tolist()


def test_a_filter_computes_in_float32_under_any_policy() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        filtered = _filtered(BitDepth(8), X)
    finally:
        keras.config.set_dtype_policy(before)
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered, np.rint(X * 255) / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Median(4), "size: expected an odd whole number from 3 on, got 4"),
        (lambda: Median(1), "got 1"),
        (lambda: Gaussian(0), "sigma: expected a number above 0, got 0"),
        (lambda: Gaussian(float("nan")), "got nan"),
        (lambda: BitDepth(0), "bits: expected a whole number from 1 to 8, got 0"),
        (lambda: BitDepth(9), "got 9"),
        (lambda: BitDepth(2.5), "got 2.5"),  # type: ignore[arg-type]
        (lambda: Gaussian(2)(X[:, :8]), "expected images of more than 8 pixels a side"),
    ],
)
def test_a_filter_out_of_range_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()


@pytest.mark.parametrize(
    ("kind", "strength"), [("median", 4), ("median", 2.5), ("bits", 9), ("bits", 0.5)]
)
def test_settings_refuse_a_strength_that_is_not_of_their_kind(kind: Any, strength: float) -> None:
    with pytest.raises(ValueError, match="strength: expected an odd whole number"):
        FilterSettings(kind=kind, strength=strength)
