"""Encoded bytes to pixels: bounded, upright, RGB, square; and what other files are called.

The format follows from the content and never from the name, so a PNG named `.jpg` is decoded as
a PNG. Colour profiles are not applied. JPEG is decoded at full size: its draft mode would be
faster, but scales without proper antialiasing.
"""

import io
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, features

from flowers17.config import ResizeName
from flowers17.errors import UnusableImage
from flowers17.files import yaml_beside

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
if features.check("avif"):
    FORMATS += ("AVIF",)
try:
    from pillow_heif import register_heif_opener
except ImportError:  # the extra `heif`
    pass
else:
    register_heif_opener()
    FORMATS += ("HEIF",)

MAX_PIXELS = 64_000_000
PIXELS_AT_ONCE = 100_000_000
STRIP_PIXELS = 2**20
DEPTHS = (16, 12, 10)  # bits of grey levels in files of 16 bits
_END_OF_JPEG = b"\xff\xd9"
_TABLE = yaml_beside(__file__, "known/kinds.yaml")
_ADVICE: dict[str, str] = _TABLE["advice"]

# Our own limit on pixels is checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# Colour profiles and texts may be long: Pillow refuses the whole image from 1 MiB on.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20
# Blocks of Pillow's 16 MB would stay with the threads' heaps when they are freed.
Image.core.set_block_size(2**26)


class Decoded(NamedTuple):
    """Size of an image file's picture, upright, and its squares, uint8 (s, s, 3), by side s.

    highest: highest level of grey in more than 8 bits, else 0. is_cut: whether its end is missing.
    problem: why it cannot be used, where a data set notes that.
    """

    size: tuple[int, int]
    squares: dict[int, np.ndarray]
    highest: int = 0
    is_cut: bool = False
    problem: UnusableImage | None = None


def squares(
    data: bytes,
    name: str,
    sides: Iterable[int],
    *,
    resize: ResizeName = "crop",
    max_pixels: int = MAX_PIXELS,
    depth: int | None = 16,
    reads_cut: bool = False,
) -> Decoded:
    """An image file's picture, upright 8-bit RGB, as a square in each of the sides.

    data: of one of FORMATS (of several frames, the first). max_pixels: refused before decoding if
    width × height is larger. depth: bits of grey levels in files of 16 bits; None: the three
    channels of its squares hold its levels as those of each of DEPTHS. reads_cut: whether a JPEG
    whose end is missing is read as far as it goes.
    Orientation follows EXIF; transparency is composited on white; 16-bit grey is scaled, not
    clipped. 32-bit grey is taken for 16-bit grey if its levels are such.
    Waits while other threads decode images of `PIXELS_AT_ONCE` together.
    Raises UnusableImage with the name if the file is of another kind, too large or damaged, or if
    its floating-point or 32-bit pixels do not tell which of them is white.
    """
    image = _opened(data, name, max_pixels)
    with _room.reserved(image.width * image.height):
        try:
            image, highest = _upright(image, name, depth)  # what was decoded is let go
            is_cut = False
        except UnusableImage:
            if not (reads_cut and image.format == "JPEG"):
                raise
            image = _opened(data + _END_OF_JPEG, name, max_pixels)
            image, highest = _upright(image, name, depth)
            is_cut = True
        by_side = {side: square(image, side, resize) for side in sides}
        return Decoded(image.size, by_side, highest, is_cut)


def stated_size(data: bytes) -> tuple[int, int]:
    """Width and height that an image file states, of its first frame; 0 and 0 if it is no image."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except Exception:  # as in `_opened`, which says what is wrong
        return 0, 0


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


def _opened(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Return an image file of which only the header is read; raises UnusableImage."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as problem:  # a hostile header may raise anything inside the decoders
        raise UnusableImage(name, _file_kind(data)) from problem
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage(
            name,
            f"expected at most {max_pixels:,} pixels, got more; raise dataset.max_megapixels, make "
            "the image smaller or remove it",
            f"{width} × {height}",
        )
    return image


def _upright(image: Image.Image, name: str, depth: int | None) -> tuple[Image.Image, int]:
    """Return an image as upright RGB, and its highest level if it is grey of more than 8 bits."""
    try:
        image.load()
        # PNG has 16 bits at most, which some releases of Pillow open in the 32-bit mode.
        is_wide = image.mode == "I" and image.format != "PNG"
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):
            return _eight_bit(image, name, is_wide=is_wide, depth=depth)
        if image.mode == "F":
            raise UnusableImage(
                name,
                "expected 8 or 16 bits a channel, got floating-point pixels; convert the image",
            )
        if image.has_transparency_data:
            return _on_white(image), 0
        return image if image.mode == "RGB" else image.convert("RGB"), 0
    except UnusableImage:
        raise
    except Exception as problem:  # as above: damaged data may raise anything
        advice = "replace or remove it"
        if image.format == "JPEG":
            advice = "replace or remove it, or read what is there: dataset.truncated=read"
        raise UnusableImage(
            name, f"expected a whole image, got a truncated or damaged one; {advice}", str(problem)
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


def _eight_bit(
    image: Image.Image, name: str, *, is_wide: bool, depth: int | None
) -> tuple[Image.Image, int]:
    """Return 16-bit grey as 8-bit grey, 0..65535 to 0..255, and its highest level.

    is_wide: whether the file has 32 bits; with levels of 8 bits only, it would become black.
    """
    grey = np.asarray(image)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65_535 or (is_wide and high <= 255):
        raise UnusableImage(
            name,
            "expected grey levels of 8 or 16 bits, got others in 32 bits; convert the image to 8 "
            "or 16 bits",
            f"{low}..{high}",
        )
    scaled = np.empty((*grey.shape, 3), np.uint8)
    white = 2 ** np.array([depth] if depth else DEPTHS) - 1  # of all channels, or of each
    for top, bottom in _strips(image.width, image.height):
        levels = grey[top:bottom, :, None].astype(np.int64)
        scaled[top:bottom] = (np.minimum(levels, white) * 255 + white // 2) // white
    return Image.fromarray(scaled), high


def _file_kind(data: bytes) -> str:
    """What a file that cannot be opened as an image is, and what to do, as an error says it."""
    head = data[:1024]
    text = "".join(head.decode("utf-8", "ignore").split())
    name, advice = "a file of another kind or a damaged one", "replace or remove it"
    if text.isprintable() and head[:1] < b"\x80":
        name, advice = "a text", _ADVICE["remove"]
    for kind in _TABLE["kinds"]:
        if re.match(kind["begins"].encode(), head, re.DOTALL | re.IGNORECASE):
            name, advice = kind["name"], _ADVICE[kind["advice"]]
            if kind.get("format") in FORMATS:
                name, advice = f"a damaged {name.partition(' ')[2]}", _ADVICE["fetch"]
            break
    return f"expected an image ({', '.join(FORMATS)}), got {name}; {advice}"
