"""Kinds of files by their content: which are read as images, and what the others are called."""

import re
from importlib.resources import files

import yaml
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

_TABLE = yaml.safe_load((files("flowers17.data") / "known" / "kinds.yaml").read_text("utf-8"))
_ADVICE: dict[str, str] = _TABLE["advice"]


def file_kind(data: bytes) -> str:
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
