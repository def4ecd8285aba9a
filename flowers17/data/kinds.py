"""Kinds of files by their content: which are read as images, and what the others are called."""

import re

from PIL import features

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

_CONVERT = "convert it to JPEG or PNG, or remove it"
_FETCH = "fetch the image again, or remove it"
_REMOVE = "move it out of the class folders"
_AVIF = "install a release of Pillow that reads AVIF, or convert it"
_HEIF = "install the extra: pip install 'flowers17[heif]', or convert it"
# How the content begins, its name, what to do, and the format by which some releases read it.
_KINDS = (
    (rb"\Z", "an empty file", _FETCH, ""),
    (rb".{4}ftyp.{0,200}avi[fs]", "an AVIF picture", _AVIF, "AVIF"),
    (rb".{4}ftyp.{0,200}(hei|hev|mif1|msf1)", "a HEIC picture", _HEIF, "HEIF"),
    (rb".{4}ftyp|\x1a\x45\xdf\xa3", "a video", _REMOVE, ""),
    (rb"\xff\x0a|.{4}JXL ", "a JPEG XL picture", _CONVERT, ""),
    (rb"\xff\x4f\xff\x51|.{4}jP  ", "a JPEG 2000 picture", _CONVERT, ""),
    (rb".{128}DICM", "a DICOM file", _CONVERT, ""),
    (rb"%PDF", "a PDF document", _CONVERT, ""),
    (rb"%!PS", "a PostScript document", _CONVERT, ""),
    (rb"PK\x03\x04", "a zip archive", _REMOVE, ""),
    (rb"\x1f\x8b", "a gzip file", _REMOVE, ""),
    (rb"\x00\x05\x16\x07", "a macOS resource file", _REMOVE, ""),
    (rb"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull`", ""),
    (rb".*<svg", "an SVG drawing", _CONVERT, ""),
    (rb".*<(html|!doctype html)", "an HTML page", _FETCH, ""),
)


def file_kind(data: bytes) -> str:
    """What a file that cannot be opened as an image is, and what to do, as an error says it."""
    head = data[:1024]
    text = "".join(head.decode("utf-8", "ignore").split())
    name, advice = "a file of another kind or a damaged one", "replace or remove it"
    if text.isprintable() and head[:1] < b"\x80":
        name, advice = "a text", _REMOVE
    for start, kind, action, image_format in _KINDS:
        if re.match(start, head, re.DOTALL | re.IGNORECASE):
            name, advice = kind, action
            if image_format in FORMATS:
                name, advice = f"a damaged {kind.partition(' ')[2]}", _FETCH
            break
    return f"expected an image ({', '.join(FORMATS)}), got {name}; {advice}"
