"""Text for a terminal, escaped: text from stores, files and errors cannot control it."""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

NARROWEST, WIDEST = 30, 72  # characters: for words beside names, and of a column that is aligned

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

    def text_line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line that a terminal wraps between words, and that a file gets as it is.

        parts: texts, and pairs of a text and its style. No path or other word is broken.
        """
        for text in Text.assemble(*parts).split("\n", allow_blank=True):
            breaks, column = [], 0
            for word in re.finditer(r"\s*\S+", text.plain if self.is_terminal else ""):
                n_spaces = len(word[0]) - len(word[0].lstrip())
                if word.start() and column + len(word[0]) > self.width:
                    breaks.append(word.start() + n_spaces)
                    column = -n_spaces
                column += len(word[0])
            for line in text.divide(breaks):
                line.rstrip()
                self.print(line, soft_wrap=True)

    def listing(self, table: Table) -> None:
        """Print a table in which no name is cut or broken, so that each can be copied.

        Only the last column is wrapped, between its words, and below its row where a terminal has
        no room beside it; `no_wrap` keeps it in its row. Names that no terminal line could hold
        side by side are not aligned. A file or another program gets each row on one line.
        """
        columns = []
        for column in table.columns:
            head = [Text(str(column.header), "bold")] if table.show_header else []
            texts = (self.render_str(str(cell), highlight=False) for cell in column.cells)
            columns.append([*head, *texts])
        widths = [max((cell.cell_len for cell in column), default=0) for column in columns]
        if not self.is_terminal or sum(widths[:-1]) + 2 * len(widths) <= self.width:
            for column, width, cells in zip(table.columns, widths, columns, strict=True):
                for cell in cells:
                    gap = max(0, min(width, WIDEST) - cell.cell_len)
                    if column.justify == "right":
                        cell.pad_left(gap)
                    elif column is not table.columns[-1]:
                        cell.pad_right(gap)
        for *names, words in zip(*columns, strict=True):
            line = Text("  ").join([*names, Text("")])
            indent, room = line.cell_len, self.width - line.cell_len
            if not self.is_terminal or words.cell_len <= room or table.columns[-1].no_wrap:
                lines = [words]
            elif room < NARROWEST:
                lines, indent = [Text(""), *words.wrap(self, self.width - 4)], 4
            else:
                lines = list(words.wrap(self, room))
            line.append_text(lines[0])
            self.print(line, soft_wrap=True, highlight=False)
            for text in lines[1:]:
                self.print(Text(" " * indent).append_text(text), soft_wrap=True, highlight=False)
