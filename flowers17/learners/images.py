"""Inputs of a network: images resized with antialiasing and scaled to [0, 1]."""

import numpy as np
from PIL import Image


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 (n, h, w, 3), resized by antialiased bicubic: uint8 (n, size, size, 3)."""
    pictures = (Image.fromarray(image) for image in images)
    bicubic = Image.Resampling.BICUBIC
    return np.stack([np.asarray(picture.resize((size, size), bicubic)) for picture in pictures])


def scaled(inputs: np.ndarray) -> np.ndarray:
    """Images uint8 as float32 in [0, 1]; float32 activations unchanged."""
    return inputs.astype(np.float32) / np.float32(255) if inputs.dtype == np.uint8 else inputs
