"""Encoded bytes to pixels: bounded, upright, RGB, square.

The format follows from the content and never from the name, so a PNG named `.jpg` is decoded as
a PNG. Colour profiles are not applied. JPEG is decoded at full size: its draft mode would be
faster, but scales without proper antialiasing.
"""

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

from flowers17.config import ResizeName
from flowers17.errors import InvalidInput

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 50_000_000
PIXELS_AT_ONCE = 100_000_000
STRIP_PIXELS = 2**20


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an image file as upright 8-bit RGB.

    data: a JPEG, PNG, WebP, BMP, TIFF or GIF (of several frames, the first).
    max_pixels: refused before decoding if width × height is larger.
    Orientation follows EXIF; transparency is composited on white; 16-bit grey is scaled,
    257 steps to one, not clipped. 32-bit grey is taken for 16-bit grey if its levels are such.
    Raises InvalidInput with the name if the file is of another kind, too large or damaged, or if
    its floating-point or 32-bit pixels do not tell which of them is white.
    """
    return _upright(_opened(data, name, max_pixels), name)


def squares(
    data: bytes,
    name: str,
    sides: Iterable[int],
    *,
    resize: ResizeName = "crop",
    max_pixels: int = MAX_PIXELS,
) -> tuple[tuple[int, int], dict[int, np.ndarray]]:
    """Size of an image file's picture, upright, and the picture as a square in each of the sides.

    Waits while other threads decode images of `PIXELS_AT_ONCE` together. Raises what `decode` does.
    """
    image = _opened(data, name, max_pixels)
    with _room.reserved(image.width * image.height):
        image = _upright(image, name)  # what was decoded is let go
        return image.size, {side: square(image, side, resize) for side in sides}


def n_pixels(data: bytes) -> int:
    """Number of pixels that an image file states, of its first frame; 0 if it is no image."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # as in `_opened`, which says what is wrong
        return 0


class _Room:
    """Pixels that may be decoded at once, by all threads of this process."""

    def __init__(self, n_free: int) -> None:
        self._n_all = self._n_free = n_free
        self._freed = threading.Condition()

    @contextmanager
    def reserved(self, n_wanted: int) -> Iterator[None]:
        """Hold so many pixels, or all; waits until they are free."""
        n_taken = min(n_wanted, self._n_all)
        with self._freed:
            self._freed.wait_for(lambda: self._n_free >= n_taken)
            self._n_free -= n_taken
        try:
            yield
        finally:
            with self._freed:
                self._n_free += n_taken
                self._freed.notify_all()


_room = _Room(PIXELS_AT_ONCE)
# Blocks of Pillow's 16 MB would stay with the threads' heaps when they are freed.
Image.core.set_block_size(2**26)


def _opened(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Return an image file of which only the header is read; raises InvalidInput."""
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
    return image


def _upright(image: Image.Image, name: str) -> Image.Image:
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


def square(image: Image.Image, size: int, resize: ResizeName = "crop") -> np.ndarray:
    """An RGB image as a square, resized with antialiasing: uint8 (size, size, 3).

    crop: its central square. pad: all of it, in the middle of a black square. stretch: all of it.
    Where a length cannot be halved, the pixel more is cut or added at the left or the top.
    """
    if resize == "pad":
        scale = size / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        padded = Image.new("RGB", (size, size))
        inner = image.resize((width, height), Image.Resampling.BICUBIC)
        padded.paste(inner, ((size - width + 1) // 2, (size - height + 1) // 2))
        return np.asarray(padded, dtype=np.uint8)
    if resize == "crop" and image.width != image.height:
        side = min(image.size)
        left, top = ((length - side + 1) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)


def _rgb(image: Image.Image, name: str, *, is_wide: bool) -> Image.Image:
    if image.mode == "F":
        raise InvalidInput(
            f"{name}: expected 8 or 16 bits a channel, got floating-point pixels; convert the image"
        )
    if image.mode.startswith("I"):
        return _eight_bit(image, name, is_wide=is_wide).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Return a transparent image on white, strip by strip: four copies at once fill memory."""
    composite = Image.new("RGB", image.size)
    for top, bottom in _strips(image.width, image.height):
        strip = image.crop((0, top, image.width, bottom)).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        composite.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return composite


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of strips of about `STRIP_PIXELS`."""
    n_rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, n_rows):
        yield top, min(top + n_rows, height)


def _eight_bit(image: Image.Image, name: str, *, is_wide: bool) -> Image.Image:
    """Return 16-bit grey as 8-bit grey, 0..65535 to 0..255.

    is_wide: whether the file has 32 bits; with levels of 8 bits only, it would become black.
    """
    grey = np.asarray(image)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65_535 or (is_wide and high <= 255):
        raise InvalidInput(
            f"{name}: expected grey levels of 8 or 16 bits, got {low}..{high} in 32 bits; "
            "convert the image to 8 or 16 bits"
        )
    scaled = np.empty(grey.shape, np.uint8)
    for top, bottom in _strips(image.width, image.height):
        scaled[top:bottom] = (grey[top:bottom].astype(np.int64) + 128) // 257
    return Image.fromarray(scaled)
