"""Correlation of the fine detail of two images, one laid onto the other.

Images that merely look alike share their coarse forms; two photographs of one scene share their
detail too, once they are aligned. Among pairs that the perceptual hash proposes, the correlation is
at least 0.75 where the scene is the same (90 pairs of Flowers-17, 27 brain scans, looked at) and
below 0.7 for 304 of 312 pairs of hands that show the same sign.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

_COARSE = 1.5  # pixels; standard deviation of the blur that detail is left without
_CENTRE = 0.75  # share of a view that is compared, since borders may be cut or bordered otherwise
_SCALES = tuple(np.linspace(0.9, 1.1, 9).tolist())


def detail_correlation(view: Image.Image, image: Image.Image, scale: float) -> float:
    """Return the highest correlation of a view's centre with any place of an image, in [-1, 1].

    view, image: grey, square, of one size. scale: side of the part of `image` that shows what the
    whole view shows, as a share of the image's; sides up to a tenth off are tried.
    """
    target = _detail(image)
    energy, best = np.square(target), -1.0
    for factor in _SCALES:
        side = round(image.width * scale * factor)
        part = round(side * _CENTRE)
        if part >= image.width:
            continue
        start = (side - part) // 2
        resized = view.resize((side, side), Image.Resampling.BICUBIC)
        template = _detail(resized)[start : start + part, start : start + part]
        products = fftconvolve(target, template[::-1, ::-1], "valid")
        norms = fftconvolve(energy, np.ones_like(template), "valid") * np.square(template).sum()
        best = max(best, float((products / np.sqrt(np.maximum(norms, 1e-6))).max()))
    return best


def _detail(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, np.float32)
    return pixels - gaussian_filter(pixels, _COARSE)
