"""Drawing by templates: SVG elements in colours that follow the page's theme.

A figure is drawn in the colours of `LIGHT`. Its file keeps them, on a light card, and looks the
same everywhere; the copy inside the page takes the page's colours, light or dark.
"""

import re
from contextlib import suppress
from functools import cache
from html import escape

from jinja2 import Environment
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from flowers17.reporting.html import environment
from flowers17.reporting.wording import printable

INK, MUTED, LINE, PAPER = "#20262d", "#5f6b76", "#d5dbe0", "#ffffff"
ACCENT, WARM, SOFT = "#2c6e8f", "#b4552d", "#eef3f5"
_THEMED = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    WARM: "var(--warm)",
    SOFT: "var(--soft)",
}
WIDTH = 360


def is_drawable(text: str) -> bool:
    """Whether the fonts of this machine have every letter of a text."""
    return set(map(ord, text)) <= _letters()


@cache
def _letters() -> frozenset[int]:
    """Code points that some font of this machine draws; boxes of a last resort do not count."""
    letters: set[int] = set()
    for font in fontManager.ttflist:
        if not font.name.startswith("Last Resort"):
            with suppress(OSError, RuntimeError):
                letters |= set(FT2Font(font.fname).get_charmap())
    return frozenset(letters)


def from_template(name: str, **values: object) -> str:
    """An SVG element by a template, which has the colours by their names, and a width."""
    colours = {"ink": INK, "muted": MUTED, "line": LINE, "paper": PAPER, "soft": SOFT}
    styles = {"bold": {"weight": "bold"}, "quiet": {"color": MUTED}}
    shared = {"width": WIDTH, "accent": ACCENT, "warm": WARM, **colours, **styles}
    return _templates().get_template(name).render({**shared, **values}).strip()


@cache
def _templates() -> Environment:
    """They are compiled once; a training draws its curves again and again."""
    templates = environment()
    templates.filters["printable"] = printable
    return templates


def standalone(text: str, title: str) -> str:
    """An SVG file of an SVG element: on a light card, with a title and a font."""
    (head, _, body), title = text.partition(">"), escape(title, quote=False)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head} font-family="system-ui, sans-serif">\n'
        f'<title>{title}</title>\n<rect width="100%" height="100%" fill="{PAPER}"/>'
        f"{body}\n"
    )


def inline(text: str, title: str, prefix: str) -> str:
    """An SVG element for inside the page: themed, titled, its ids its own."""
    text = re.sub(r"(?<=fill: |roke: )#[0-9a-f]{6}", lambda match: _THEMED[match[0]], text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    head, _, body = text.partition(">")
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', head)[1])  # type: ignore[index]
    least = width if width > WIDTH else 0  # what is wider than others scrolls on a phone
    head += f' style="max-width: {width / 10:.1f}rem; min-width: {least / 16:.1f}rem"'
    return (
        f'{head} role="img" aria-labelledby="{prefix}-title">'
        f'<title id="{prefix}-title">{escape(title, quote=False)}</title>{body}'
    )
