"""Whether the rules of a study hold, by its own numbers and those of the study before it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowers17.reporting.paired_comparisons import LEVEL
from flowers17.reporting.studies.paired import tested_pair
from flowers17.reporting.studies.records import Study
from flowers17.reporting.studies.sweeps import FEWER_IS_BETTER
from flowers17.reporting.wording import p_text
from flowers17.rules import COMPARISONS, Rule, rule_from


def last_before(study: Study, studies: Sequence[Study]) -> Study | None:
    """The newest study before this one with its label, of the same kind of data."""
    source = study.results["data"]["source"]
    earlier = [
        other
        for other in studies
        if other.label == study.label
        and other.manifest["key"] != study.manifest["key"]
        and other.created <= study.created
        and other.results["data"]["source"] == source
    ]
    return earlier[-1] if earlier else None


def broken_rules(texts: Iterable[str], study: Study, before: Study | None) -> list[str]:
    """Rules that do not hold of a study, each with the reason.

    before: the study that `not worse` compares with; without one nothing is worse.
    """
    reasons = {rule.text: _reason(rule, study, before) for rule in map(rule_from, texts)}
    return [f"{text}: {reason}" for text, reason in reasons.items() if reason]


def _reason(rule: Rule, study: Study, before: Study | None) -> str:
    """Why a rule does not hold; empty if it does."""
    if not rule.metric:
        labels = study.results["missing"]["labels"]
        return f"{len(labels)} missing, the first is {labels[0]}" if labels else ""
    metrics, name = study.manifest["metrics"], rule.metric
    names = [name] if name in metrics else [key for key in metrics if key.startswith(f"{name} (")]
    if len(names) != 1:
        return f"expected one metric of this name, there are: {'; '.join(sorted(metrics))}"
    (name,) = names
    value = metrics[name]
    if rule.sign:
        return "" if COMPARISONS[rule.sign](value, rule.limit) else f"it is {value:g}"
    last = before.manifest["metrics"].get(name) if before else None
    if before is None or last is None:
        return ""
    if value <= last if name in FEWER_IS_BETTER else value >= last:
        return ""
    proof = _proof(name, study, before, last)
    return f"it is {value:g}, in {before.title} {last:g}; {proof}" if proof else ""


def _proof(name: str, study: Study, before: Study, last: float) -> str:
    """What shows that a worse number is no chance; empty if it may be chance.

    McNemar's test where both studies predicted the same images, else whether the last number lies
    above the interval of this one. A number without an interval is as it is.
    """
    best, before_best = _highlight(study, name), _highlight(before, name)
    if not best.get("interval"):
        return "it has no interval"
    pairs = ((before, before_best), (study, best))
    models = [each.manifest_of(part["artifact"]) if part else None for each, part in pairs]
    splits = [part.get("split") for _, part in pairs]
    if comparison := tested_pair(before, study, models, splits):
        test = comparison.test
        proof = (
            f"of the same {comparison.n_images} images only this study has {test.n_only_second} "
            f"right, only that one {test.n_only_first}, p = {p_text(test.p_value)} (McNemar)"
        )
        return proof if test.p_value < LEVEL else ""
    low, high = best["interval"]
    return f"its 95 % interval is {low:.3f} to {high:.3f}" if high < last else ""


def _highlight(study: Study, metric: str) -> Mapping[str, Any]:
    """A study's highlight of a metric; an empty one if the metric is none."""
    every = study.results.get("highlights", ())
    return next((each for each in every if each.get("metric") == metric), {})
