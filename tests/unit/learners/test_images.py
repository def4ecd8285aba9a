"""Inputs of a network: resized and scaled images."""

import numpy as np
from PIL import Image

from flowers17.learners.images import resized, scaled


def test_scaled_images_are_exact_in_0_to_1() -> None:
    values = np.arange(256, dtype=np.uint8)
    pixels = scaled(values)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, np.arange(256, dtype=np.float32) / np.float32(255))
    assert (pixels[0], pixels[-1]) == (0, 1)


def test_resized_images_are_those_of_pillow() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    small = resized(images, 6)
    assert (small.shape, small.dtype) == ((3, 6, 6, 3), np.uint8)
    for small_image, image in zip(small, images, strict=True):
        expected = Image.fromarray(image).resize((6, 6), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(small_image, np.asarray(expected))


def test_resized_to_the_same_size_is_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resized(images, 9), images)


def test_resizing_does_not_alias() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    small = resized(stripes, 16)
    assert 100 < small.min() <= small.max() < 155
