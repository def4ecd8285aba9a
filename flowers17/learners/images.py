"""Images as a network takes them: resized with antialiasing, and scaled to [0, 1]."""

import numpy as np
from PIL import Image


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (n, h, w, 3) images at another size, antialiased: uint8 (n, size, size, 3)."""
    sides = (size, size)
    return np.stack(
        [np.asarray(Image.fromarray(one).resize(sides, Image.Resampling.BICUBIC)) for one in images]
    )


def scaled(inputs: np.ndarray) -> np.ndarray:
    """Return uint8 images as float32 in [0, 1]; activations, which are float32, as they are."""
    return inputs.astype(np.float32) / np.float32(255) if inputs.dtype == np.uint8 else inputs
