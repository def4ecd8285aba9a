"""What is shown on a terminal: text from stores, files and errors cannot steer it."""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Control characters but line feed and tab, what turns the direction of writing, broken pairs.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shown(path: str) -> str:
    r"""Return a path fit for a line of text: what cannot be printed is escaped.

    >>> shown("a\x1b[31m\n.png")
    'a\\x1b[31m\\n.png'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in path
    )


def steady(text: str) -> str:
    """Return text, lines and tabs as they are, in which what would steer a terminal is escaped."""
    return _STEERING.sub(lambda one: one[0].encode("unicode_escape").decode(), text)


class Terminal(Console):
    """Rich's console, which shows what would steer the terminal escaped, whatever prints it."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return markup as text, escaped before its width is measured."""
        return super().render_str(steady(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render an object; Rich's own control segments stay."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else steady(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
