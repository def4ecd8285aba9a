"""Rules of a guarded study: lines of text that say what must hold of it."""

import operator
import re
from collections.abc import Callable
from typing import NamedTuple

from flowers17.errors import InvalidInput, short_repr
from flowers17.files import yaml_beside

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_KNOWN = yaml_beside(__file__, "rules.yaml")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_RULE = re.compile(
    rf"nothing missing|([^<>=]*[^<>=\s])(?:\s*(>=|<=|>|<)\s*({_NUMBER})| not worse)", re.IGNORECASE
)


class Rule(NamedTuple):
    """What must hold: nothing is missing, a metric is within a limit, or not worse than last time.

    metric: with or without what follows its name in brackets; empty: nothing may be missing.
    sign: of COMPARISONS, before the limit; empty: the metric must not be worse.
    """

    text: str
    metric: str = ""
    sign: str = ""
    limit: float = 0.0


def rule_problem(flow: str, text: str) -> str:
    """Reason why no study of a flow could keep a rule; empty if one could.

    Some metrics are known only at the end of a run: whether accuracies are balanced, and which
    of the models that a flow builds on the way have a score of their own.
    """
    metric = rule_from(text).metric
    if flow == "sweep":
        return f"{text}: expected no rule, as a sweep has many studies; give it to the flow itself"
    flows = _KNOWN["builds"].get(flow, [flow])
    names = [name for built in flows for name in _KNOWN["metrics"].get(built, ())]
    if not metric or metric.partition(" (")[0].replace("balanced accuracy", "accuracy") in names:
        return ""
    known = f"a metric of the study of {flow} ({'; '.join(names)})"
    return (
        f"{text}: expected {known if names else f'no metric, as {flow} has none'}, got {metric!r}; "
        "only the run tells whether it measures accuracy or balanced accuracy"
    )


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
