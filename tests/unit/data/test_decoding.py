import io
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from flowers17.data import decoding
from flowers17.data.decoding import FORMATS, square, squares
from flowers17.errors import InvalidInput, UnusableImage
from tests.support.image_files import decode, encoded, saved


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_decoded_by_its_content(kind: str) -> None:
    image = decode(encoded((12, 10), kind=kind), "x.jpg")
    assert image.mode == "RGB"
    assert image.size == (12, 10)


def test_lossless_pixels_are_exact() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    decoded = decode(saved(Image.fromarray(pixels), "PNG"), "x")
    assert np.array_equal(np.asarray(decoded), pixels)


KINDS = {
    "an HTML page": b"<!DOCTYPE html><html>404</html>",
    "an SVG drawing": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "a PDF document": b"%PDF-1.7",
    "a JPEG XL picture": b"\xff\x0a" + bytes(90),
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n",
    "HEIC picture": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90),
    "AVIF picture": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(90),
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(90),
    "a zip archive": b"PK\3\4" + bytes(90),
    "a macOS resource file": b"\0\5\x16\7" + bytes(90),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a text": "Größe\n".encode(),
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files_that_are_no_images_are_named(kind: str) -> None:
    with pytest.raises(UnusableImage, match=f"^x: expected an image.*, got .*{kind}; .+"):
        decode(KINDS[kind], "x")


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "FORMATS", ("JPEG",))
    assert re.search(
        r"got a HEIC picture; install.*flowers17\[heif\]",
        decoding._file_kind(KINDS["HEIC picture"]),
    )
    assert "got an AVIF picture; install" in decoding._file_kind(KINDS["AVIF picture"])


def test_heic_is_read_with_its_extra() -> None:
    pytest.importorskip("pillow_heif")
    data = saved(Image.new("RGB", (64, 48), (200, 30, 30)), "HEIF")
    decoded = decode(data, "x.heic")
    assert decoded.size == (64, 48)
    assert np.abs(np.asarray(decoded)[20, 20].astype(int) - (200, 30, 30)).max() < 12


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_png_with_a_long_text_or_profile_is_read(kind: bytes) -> None:
    png = encoded((12, 10), kind="PNG")
    body = kind + b"name\0\0" + zlib.compress(bytes(3 * 2**20))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    assert decode(png[:33] + chunk + png[33:], "x").tobytes() == decode(png, "x").tobytes()


def test_cut_jpeg_is_read_as_far_as_it_goes_if_that_is_wanted() -> None:
    data = encoded((64, 64))
    cut = squares(data[: len(data) * 2 // 3], "x", [64], reads_cut=True)
    whole = squares(data, "x", [64], reads_cut=True)
    assert (cut.is_cut, whole.is_cut) == (True, False)
    assert np.array_equal(cut.squares[64][:16], whole.squares[64][:16])
    assert not np.array_equal(cut.squares[64][56:], whole.squares[64][56:])


def test_depth_of_grey_levels_can_be_given() -> None:
    data = saved(Image.fromarray(np.array([[0, 2048, 4095]], np.uint16)), "TIFF")
    assert squares(data, "x", [1], depth=12).squares[1][0, 0].tolist() == [128] * 3
    assert squares(data, "x", [1], depth=16).squares[1][0, 0].tolist() == [8] * 3
    assert squares(data, "x", [1], depth=None).squares[1][0, 0].tolist() == [8, 128, 255]


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (6, 4), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    upright = decode(saved(image, "PNG", exif=exif), "x")
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    grey = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    decoded = np.asarray(decode(saved(Image.fromarray(grey), "PNG"), "x"))
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


@pytest.mark.parametrize("levels", [[0, 255], [0, 0], [0, 65_536], [-1, 40_000]])
def test_thirty_two_bits_whose_white_is_not_known_are_refused(levels: list[int]) -> None:
    data = saved(Image.fromarray(np.array([levels], np.int32)), "TIFF")
    message = rf"x\.tif: .*; convert the image to 8 or 16 bits \({levels[0]}\.\.{levels[1]}\)"
    with pytest.raises(InvalidInput, match=message):
        decode(data, "x.tif")


def test_thirty_two_bits_that_hold_sixteen_are_scaled() -> None:
    grey = np.array([[0, 257, 32768, 65535]], np.int32)
    decoded = np.asarray(decode(saved(Image.fromarray(grey), "TIFF"), "x"))
    assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["I;16", "I"])  # as Pillow's releases open it
def test_dark_sixteen_bit_png_stays_dark(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PngImagePlugin._MODES, (16, 0), (mode, "I;16B"))
    data = saved(Image.fromarray(np.array([[0, 200]], np.uint16)), "PNG")
    assert Image.open(io.BytesIO(data)).mode == mode
    assert np.asarray(decode(data, "x"))[0, :, 0].tolist() == [0, 1]


def test_transparency_is_composited_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    decoded = decode(saved(image, "PNG"), "x")
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_transparent_palette_is_composited_on_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    decoded = decode(saved(image, "PNG", transparency=0), "x")
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


def test_cmyk_becomes_rgb() -> None:
    data = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = np.asarray(decode(data, "x"))[4, 4].tolist()
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert decode(encoded(mode=mode, kind="PNG"), "x").mode == "RGB"


def test_of_several_frames_the_first_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, "x").getpixel((0, 0)) == (255, 0, 0)


def test_pixels_are_counted_before_decoding() -> None:
    with pytest.raises(InvalidInput, match=r"big\.png: expected at most 99 pixels.*10 × 10"):
        decode(encoded((10, 10), kind="PNG"), "big.png", max_pixels=99)
    assert decode(encoded((10, 10)), "x", max_pixels=100).size == (10, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_truncated_image_is_named(kind: str) -> None:
    data = encoded((40, 40), kind=kind)
    with pytest.raises(InvalidInput, match=r"rose\.jpg: expected"):
        decode(data[: len(data) * 2 // 3], "rose.jpg")


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"%PDF-1.4 ...", b"\0" * 64])
def test_other_files_are_named(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"note\.txt: expected"):
        decode(data, "note.txt")


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(InvalidInput, match="floating-point"):
        decode(saved(Image.new("F", (4, 4), 0.5), "TIFF"), "x")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_never_escapes_as_another_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        data = encoded((24, 24), kind=kind)
        for _ in range(60):
            damaged = bytearray(data)
            for position in rng.integers(0, len(data), 8):
                damaged[position] = rng.integers(256)
            with suppress(InvalidInput):
                assert decode(bytes(damaged), "x", max_pixels=10_000).mode == "RGB"


def test_square_is_the_centre() -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 200
    assert (square(Image.fromarray(pixels), 4) == 200).all()
    assert (square(Image.fromarray(pixels.transpose(1, 0, 2)), 4) == 200).all()


def test_reduction_is_antialiased() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pixels = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    reduced = square(Image.fromarray(pixels), 8)
    assert reduced.shape == (8, 8, 3)
    assert reduced.dtype == np.uint8
    assert np.abs(reduced.astype(int) - 127).max() <= 2


def test_square_of_the_same_size_changes_nothing() -> None:
    image = Image.open(io.BytesIO(encoded((16, 16), kind="PNG")))
    assert np.array_equal(square(image, 16), np.asarray(image))


def _composite(image: Image.Image) -> Image.Image:
    """Return an image on white, all of it at once."""
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


@pytest.mark.parametrize("strip_pixels", [1, 40, 100, 2**20])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB", "L", "1", "16 bits"])
def test_strips_change_no_bit(
    kind: str, strip_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "STRIP_PIXELS", strip_pixels)
    pixels = np.random.default_rng(3).integers(0, 256, (23, 17, 4), dtype=np.uint8)
    if kind == "16 bits":
        grey = pixels.view(np.uint16)[:, :, 0]
        data = saved(Image.fromarray(grey), "PNG")
        rounded = ((grey.astype(np.int64) + 128) // 257).astype(np.uint8)
        expected = Image.fromarray(rounded).convert("RGB")
    else:
        transparency = {"RGB": tuple(pixels[2, 2, :3].tolist()), "L": 77, "P": 3, "1": 0}
        options = {"transparency": transparency[kind]} if kind in transparency else {}
        data = saved(Image.fromarray(pixels, "RGBA").convert(kind), "PNG", **options)
        expected = _composite(Image.open(io.BytesIO(data)))
    decoded = decode(data, "x")
    assert (decoded.mode, decoded.tobytes()) == ("RGB", expected.tobytes())
    size, squared, *_ = squares(data, "x", [5, 17])
    assert size == (17, 23)
    for side, result in squared.items():
        assert np.array_equal(result, square(expected, side))


def test_threads_decode_a_bounded_number_of_pixels_at_once() -> None:
    room, held, most = decoding._Room(1000), 0, 0
    lock = threading.Lock()

    def work(n_pixels: int) -> None:
        nonlocal held, most
        with room.reserved(n_pixels):
            with lock:
                held += min(n_pixels, 1000)
                most = max(most, held)
            with lock:
                held -= min(n_pixels, 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [400, 600, 1, 5000, 300, 999, 1, 700] * 20))
    assert (held, room._n_free) == (0, 1000)
    assert most <= 1000


def test_decoding_takes_room_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    room = decoding._Room(200)
    monkeypatch.setattr(decoding, "_room", room)
    whole, cut = encoded((12, 10)), encoded((40, 40), kind="PNG")[:-2000]
    seen: list[int] = []
    upright = decoding._upright

    def watched(image: Image.Image, name: str, depth: int) -> tuple[Image.Image, int]:
        seen.append(room._n_free)
        return upright(image, name, depth)

    monkeypatch.setattr(decoding, "_upright", watched)
    squares(whole, "x", [8])
    with pytest.raises(InvalidInput):
        squares(cut, "x", [8])
    assert (seen, room._n_free) == ([80, 0], 200)


class TestSquares:
    """A picture of 40 × 20 pixels, its left half red, its right half blue, its middle green."""

    @pytest.fixture
    def picture(self) -> Image.Image:
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[:, :20], pixels[:, 20:] = (255, 0, 0), (0, 0, 255)
        pixels[:, 18:22] = (0, 255, 0)
        return Image.fromarray(pixels)

    def test_cropping_is_the_default_and_loses_the_ends(self, picture: Image.Image) -> None:
        assert np.array_equal(square(picture, 20), np.asarray(picture)[:, 10:30])
        assert np.array_equal(square(picture, 8, "crop"), square(picture, 8))

    def test_padding_keeps_all_of_it_in_the_middle_of_black(self, picture: Image.Image) -> None:
        turned = picture.transpose(Image.Transpose.TRANSPOSE)
        for padded in (
            square(picture, 40, "pad"),
            square(turned, 40, "pad").swapaxes(0, 1),
        ):
            assert padded.shape == (40, 40, 3)
            assert not padded[:10].any()
            assert not padded[30:].any()
            assert np.array_equal(padded[10:30], np.asarray(picture))

    def test_padding_to_another_size_resizes_all_of_it_alike(self, picture: Image.Image) -> None:
        expected = np.asarray(picture.resize((16, 8), Image.Resampling.BICUBIC))
        assert np.array_equal(square(picture, 16, "pad")[4:12], expected)

    def test_a_line_stays_a_line_when_padded(self) -> None:
        line = Image.fromarray(np.full((1, 900, 3), 255, np.uint8))
        padded = square(line, 16, "pad")
        assert (padded.any(axis=(1, 2))).sum() == 1

    def test_stretching_fills_the_square_with_all_of_it(self, picture: Image.Image) -> None:
        stretched = square(picture, 20, "stretch")
        assert np.array_equal(stretched, np.asarray(picture.resize((20, 20), 3)))
        assert stretched[10, 0].tolist() == [255, 0, 0]
        assert stretched[10, -1].tolist() == [0, 0, 255]

    @pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
    def test_a_square_picture_is_only_resized(self, resize: Any) -> None:
        image = Image.open(io.BytesIO(encoded((24, 24), kind="PNG")))
        expected = np.asarray(image.resize((10, 10), Image.Resampling.BICUBIC))
        assert np.array_equal(square(image, 10, resize), expected)

    def test_a_file_is_squared_as_asked(self) -> None:
        data = encoded((30, 14), kind="PNG")
        for resize in ("crop", "pad", "stretch"):
            result = squares(data, "x", [9], resize=resize)[1][9]  # type: ignore[arg-type]
            assert np.array_equal(result, square(decode(data, "x"), 9, resize))  # type: ignore[arg-type]
