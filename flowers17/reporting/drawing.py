"""Drawing with matplotlib: reproducible, and in colours that follow the page's theme.

A figure is drawn in the colours of `LIGHT`. Its file keeps them, on a light card, and looks the
same everywhere; the copy inside the page takes the page's colours, light or dark.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
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
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.unicode_minus": True,
    "text.parse_math": False,
}
WIDTH = 360


@contextmanager
def canvas(height: float, *, salt: str, width: float = WIDTH) -> Iterator[tuple[Canvas, Axes]]:
    """Yield a figure and axes over all of it, in points, with y downwards from the top.

    salt: what makes the ids inside an SVG reproducible, and different from another figure's.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        figure = Canvas(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasAgg(figure)
        figure.patch.set_visible(False)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        yield figure, axes


def say(axes: Axes, x: float, y: float, text: str, **style: object) -> None:
    """Write text centred at a point, in ink, unless the style says otherwise."""
    properties = {"ha": "center", "va": "center", "size": 9, "color": INK, **style}
    axes.text(x, y, text, **properties)  # type: ignore[arg-type]


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


def svg_text(figure: Canvas, pictures: Iterable[str] = ()) -> str:
    """The figure as an SVG element: no prolog, no metadata, no fixed size, no font name.

    pictures: SVG images that lie over it.
    """
    stream = io.StringIO()
    with warnings.catch_warnings():
        # Text is drawn with the fonts of whoever looks at it: any script that they can show.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg ") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg [^>]*?)\s+width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)\s+height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([^;\"]*?)(\d[\d.]*px) [^;\"]*", _font, text)
    # matplotlib's rule for every element would reach the whole page.
    text = re.sub(r"<style [^>]*>.*?</style>\s*", "", text, count=1, flags=re.DOTALL)
    text = text.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return "\n".join([text.removesuffix("</svg>"), *pictures, "</svg>"]) if pictures else text


def _font(match: re.Match[str]) -> str:
    weight = "; font-weight: bold" if re.search(r"bold|700", match[1]) else ""
    return f"font-size: {match[2]}{weight}"


def from_template(name: str, **values: object) -> str:
    """An SVG element by a template, which has the colours by their names."""
    colours = {"ink": INK, "muted": MUTED, "line": LINE, "paper": PAPER, "soft": SOFT}
    styles = {"bold": {"weight": "bold"}, "quiet": {"color": MUTED}}
    templates = environment()
    templates.filters["printable"] = printable
    template = templates.get_template(name)
    return template.render(values, accent=ACCENT, warm=WARM, **colours, **styles).strip()


def standalone(text: str, title: str) -> str:
    """An SVG file of an SVG element: on a light card, with a title and a font."""
    head, _, body = text.partition(">")
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head} font-family="system-ui, sans-serif">\n'
        f'<title>{_escaped(title)}</title>\n<rect width="100%" height="100%" fill="{PAPER}"/>'
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
        f'<title id="{prefix}-title">{_escaped(title)}</title>{body}'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unit_square(axes: Axes, left: float, top: float, side: float, title: str, below: str) -> None:
    """Draw a square whose sides go from 0 to 1, with a title and what stands below it."""
    bottom = top + side
    say(axes, left, top - 12, title, ha="left", weight="bold")
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = bottom - tick * side, left + tick * side
        axes.plot([left, left + side], [y, y], color=LINE, lw=0.8)
        axes.plot([x, x], [top, bottom], color=LINE, lw=0.8)
        say(axes, left - 4, y, f"{tick:g}", ha="right", color=MUTED, size=8)
        say(axes, x, bottom + 9, f"{tick:g}", color=MUTED, size=8)
    say(axes, left + side / 2, bottom + 24, below, color=MUTED)
