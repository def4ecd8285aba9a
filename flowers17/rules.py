"""Rules of a guarded study: lines of text that say what must hold of it."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from flowers17.errors import InvalidInput, short_repr

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_RULE = re.compile(
    rf"nothing missing|([^<>=]*[^<>=\s])(?:\s*(>=|<=|>|<)\s*({_NUMBER})| not worse)", re.IGNORECASE
)


@dataclass(frozen=True)
class Rule:
    """What must hold: nothing is missing, a metric is within a limit, or not worse than last time.

    metric: with or without what follows its name in brackets; empty: nothing may be missing.
    sign: of COMPARISONS, before the limit; empty: the metric must not be worse.
    """

    text: str
    metric: str = ""
    sign: str = ""
    limit: float = 0.0


def rule_from(text: str) -> Rule:
    """Rule of a line of text; raises InvalidInput.

    >>> rule_from("best ensemble accuracy >= 0.90").limit
    0.9
    >>> rule_from("best ensemble accuracy not worse").metric
    'best ensemble accuracy'
    """
    line = " ".join(text.split())
    if parts := _RULE.fullmatch(line):
        return Rule(line, parts[1] or "", parts[2] or "", float(parts[3] or 0))
    raise InvalidInput(
        "expected `nothing missing`, `METRIC >= NUMBER` (or <=, >, <) or `METRIC not worse`, got "
        f"{short_repr(text)}; `flowers17 show` lists the metrics of each study"
    )
