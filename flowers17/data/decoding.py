"""Encoded bytes to pixels: bounded, upright, RGB, square.

The format follows from the content and never from the name, so a PNG named `.jpg` is decoded as
a PNG. Colour profiles are not applied. JPEG is decoded at full size: its draft mode would be
faster, but scales without proper antialiasing.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from flowers17.errors import InvalidInput

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 50_000_000


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an image file as upright 8-bit RGB.

    data: a JPEG, PNG, WebP, BMP, TIFF or GIF (of several frames, the first).
    max_pixels: refused before decoding if width × height is larger.
    Orientation follows EXIF; transparency is composited on white; 16-bit grey is scaled,
    257 steps to one, not clipped. 32-bit grey is taken for 16-bit grey if its levels are such.
    Raises InvalidInput with the name if the file is of another kind, too large or damaged, or if
    its floating-point or 32-bit pixels do not tell which of them is white.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise InvalidInput(f"{name}: expected at most {max_pixels:,} pixels, got more") from problem
    except Exception as problem:  # a hostile header may raise anything inside the decoders
        raise InvalidInput(
            f"{name}: expected an image ({', '.join(FORMATS)}), got a file of another kind or a "
            "damaged one; replace or remove it"
        ) from problem
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidInput(
            f"{name}: expected at most {max_pixels:,} pixels, got {width} × {height}; "
            "make the image smaller or remove it"
        )
    try:
        image.load()
        # PNG has 16 bits at most, which some releases of Pillow open in the 32-bit mode.
        is_wide = image.mode == "I" and image.format != "PNG"
        ImageOps.exif_transpose(image, in_place=True)
        return _rgb(image, name, is_wide=is_wide)
    except InvalidInput:
        raise
    except Exception as problem:  # as above: damaged data may raise anything
        raise InvalidInput(
            f"{name}: expected a whole image, got a truncated or damaged one ({problem}); "
            "replace or remove it"
        ) from problem


def square(image: Image.Image, size: int) -> np.ndarray:
    """Return the central square of an RGB image, resized with antialiasing.

    Returns uint8 (size, size, 3). If width and height differ by an odd number, the pixel more
    goes to the left or the top.
    """
    side = min(image.size)
    left, top = ((length - side + 1) // 2 for length in image.size)
    centre = image.crop((left, top, left + side, top + side))
    return np.asarray(centre.resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)


def _rgb(image: Image.Image, name: str, *, is_wide: bool) -> Image.Image:
    if image.mode == "F":
        raise InvalidInput(
            f"{name}: expected 8 or 16 bits a channel, got floating-point pixels; convert the image"
        )
    if image.mode.startswith("I"):
        return _eight_bit(image, name, is_wide=is_wide).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image, name: str, *, is_wide: bool) -> Image.Image:
    """Return 16-bit grey as 8-bit grey, 0..65535 to 0..255.

    is_wide: whether the file has 32 bits; with levels of 8 bits only, it would become black.
    """
    grey = np.asarray(image).astype(np.int64)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65_535 or (is_wide and high <= 255):
        raise InvalidInput(
            f"{name}: expected grey levels of 8 or 16 bits, got {low}..{high} in 32 bits; "
            "convert the image to 8 or 16 bits"
        )
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))
