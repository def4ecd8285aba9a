"""Inputs of a network: images resized with antialiasing and scaled to [0, 1]; imports no Keras."""

import numpy as np
from PIL import Image

from flowers17.config import RecipeSettings


def resized(
    images: np.ndarray, size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """Images uint8 (n, h, w, 3), resized with antialiasing: uint8 (n, size, size, 3)."""
    if images.shape[1:3] == (size, size):
        return images
    pictures = (Image.fromarray(image) for image in images)
    return np.stack([np.asarray(picture.resize((size, size), resample)) for picture in pictures])


def scaled(inputs: np.ndarray) -> np.ndarray:
    """Images uint8 as float32 in [0, 1]; float32 activations unchanged."""
    return inputs.astype(np.float32) / np.float32(255) if inputs.dtype == np.uint8 else inputs


def resolution(recipe: RecipeSettings, epoch: int) -> float:
    """Share of the image size that an epoch, from 1, is trained at.

    With fewer epochs than resolutions, the first ones are skipped.

    >>> recipe = RecipeSettings(epochs=3, resolutions=(0.5, 1.0))
    >>> [resolution(recipe, epoch) for epoch in (1, 2, 3)]
    [0.5, 0.5, 1.0]
    """
    shares = recipe.resolutions[-recipe.epochs :]
    return shares[(epoch - 1) * len(shares) // recipe.epochs]
