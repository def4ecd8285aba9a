"""Numbers and phrases as every part of the report writes them."""

import re
from collections.abc import Sequence

from flowers17.reporting.metrics import Interval


def thousands(value: int) -> str:
    """An integer with its thousands set apart: 14,714,688."""
    return f"{value:,}"


def counted(n: int, noun: str) -> str:
    """A number of things, the noun in the plural unless there is a single one.

    >>> counted(1, "clean split"), counted(3, "clean split")
    ('1 clean split', '3 clean splits')
    """
    return f"{n} {noun}{'s' * (n != 1)}"


def decimal_text(value: float, form: str = ".3f") -> str:
    """A number by a format, with a true minus and no sign of zero.

    >>> decimal_text(-0.0118), decimal_text(-0.0001), decimal_text(0.02, "+.2f")
    ('−0.012', '0.000', '+0.02')
    """
    text = format(value, form)
    if not text.strip("+-0.,%"):
        text = text.lstrip("+-")
    return true_minus(text)


def true_minus(text: str) -> str:
    """A text whose numbers have a true minus (U+2212).

    >>> true_minus("one-pixel: -0.1 to -2e-05")
    'one-pixel: −0.1 to −2e−05'
    """
    return re.sub(r"(?<!\w)-(?=[\d.])|(?<=\de)-(?=\d)", "−", text)


def shape_text(shape: Sequence[int]) -> str:
    """The shape of an array or image: 4 × 4 × 512."""
    return " × ".join(str(side) for side in shape)


def interval_text(interval: Interval | None) -> str:
    """The two ends of an interval, or that there is none.

    >>> interval_text(Interval(0.916, 0.965)), interval_text(Interval(-0.01, 0.02))
    ('0.916–0.965', '−0.010 to 0.020')
    """
    if interval is None:
        return "no interval"
    low, high = map(decimal_text, interval)
    return f"{low} to {high}" if interval.low < 0 else f"{low}–{high}"


def signed(value: float) -> str:
    """A difference with its sign, a true minus and three decimals.

    >>> signed(-0.0118)
    '−0.012'
    """
    return decimal_text(value, "+.3f")


def points(share: float) -> str:
    """A difference of shares in points, with one decimal.

    >>> points(-0.0118)
    '−1.2'
    """
    return decimal_text(100 * share, ".1f")


def p_text(value: float) -> str:
    """A p-value with three decimals.

    >>> p_text(0.0004), p_text(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def capital(text: str) -> str:
    """A text whose first letter is a capital one, unless it begins with a name: `file:a.keras`."""
    is_name = ":" in text.partition(" ")[0][:-1]
    return text if is_name else text[:1].upper() + text[1:]


def printable(text: str) -> str:
    """A text in which what cannot be printed has a sign of its own."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
