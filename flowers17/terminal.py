"""Text for a terminal, escaped: text from stores, files and errors cannot control it."""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Control characters but line feed and tab, what turns the direction of writing, broken pairs.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(path: str) -> str:
    r"""A path in one line of text: characters that cannot be printed are escaped.

    >>> printable("a\x1b[31m\n.png")
    'a\\x1b[31m\\n.png'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in path
    )


def escaped(text: str) -> str:
    """Text in which control characters are escaped, except line feeds and tabs."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Terminal(Console):
    """Rich's console, in which control characters are escaped, whatever prints them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Markup as text, escaped before its width is measured."""
        return super().render_str(escaped(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render an object; Rich's own control segments stay."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else escaped(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
