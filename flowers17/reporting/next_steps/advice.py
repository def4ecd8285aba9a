"""Table N1: three to five sentences that the numbers of the other tables carry, and no more."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.ensembles.paired import answers as right_answers
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval, Measured, mean_difference
from flowers17.reporting.next_steps.answers import WORDS, Facts, answers, table
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import interval_text, signed

MOST = 5


def steps_table(inputs: ReportInputs) -> list[Table]:
    """Table N1; none if no question has an answer."""
    steps = [{"step": text, "numbers": f"Table {number}"} for text, number in steps_of(inputs)]
    lead = WORDS["tables"]["N1"]["lead"]
    return [table("N1", (Facts(values=step) for step in steps), lead)] if steps else []


def steps_of(inputs: ReportInputs) -> list[tuple[str, str]]:
    """The sentences, each with the number of its table."""
    results = {number: result for number, (_, result) in answers(inputs).items()}
    known = {number: result for number, result in results.items() if not result["reason"]}
    steps = [step for number in known for step in _STEPS[number](inputs, known[number])]
    return [
        (WORDS["steps"][name].format(**values).replace("%", " %"), number)
        for name, number, values in steps
    ][:MOST]


Step = tuple[str, str, Mapping[str, Any]]


def _text(measured: Mapping[str, Any], *, is_difference: bool = False) -> str:
    value = signed(measured["value"]) if is_difference else f"{measured['value']:.3f}"
    return f"{value} ({interval_text(Interval(*measured['interval']))})"


def _more(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    for row in [row for row in result["rows"] if row.get("gain")][:1]:
        if row["gain"]["interval"]:
            is_gain = round(row["gain"]["interval"][0], 3) > 0  # more than is written as nothing
            gain = _text(row["gain"], is_difference=True)
            values = {**row, "accuracy": _text(row["accuracy"]), "gain": gain}
            yield "more" if is_gain else "no_more", "N2", values


def _labels(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    if result["n_pairs"]:
        yield "pairs", "N3", result
    is_more = result["n_suspects"] > result["n_by_chance"][2]
    yield "labels" if is_more else "no_labels", "N3", result


def _sets(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    coverage = result["rows"][0]["coverage"]
    if coverage["interval"][1] < result["promised"]:
        yield "no_sets", "N4", {**result, "coverage": _text(coverage)}
    elif result["several"] > 0.5:
        yield "unsure", "N4", result
    elif result["several"] > 0:
        yield "sets", "N4", {**result, "right": _text(result["right"])}


def _border(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    for row in result["rows"]:
        if row.get("border") and row["border"]["interval"][0] > row["area"]:
            yield "border", "N5", {**row, "border": _text(row["border"])}


def paired_difference(first: np.ndarray, second: np.ndarray) -> Measured:
    """Difference of two accuracies on the same images, with its 95 % interval.

    first, second: bool (n,), whether each image was classified correctly.
    Source: Bonett & Price 2012, Journal of Educational and Behavioral Statistics 37:479.
    """
    n, z = len(first) + 2, 1.959964
    gains, losses = (int((first & ~second).sum()) + 1) / n, (int((second & ~first).sum()) + 1) / n
    centre, half = gains - losses, z * math.sqrt((gains + losses - (gains - losses) ** 2) / n)
    difference = float(first.mean() - second.mean())
    return Measured(difference, Interval(max(-1.0, centre - half), min(1.0, centre + half)))


def _ensemble(inputs: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    """The first ensemble beside its best member: difference, and how much more it computes."""
    ensemble = next((each for each in ensembles_of(inputs) if each.first), None)
    first = ensemble.first if ensemble else None
    if not ensemble or not first:
        return
    pairs = [right_answers(each) for each in ensemble.repeated or [first]]
    difference = paired_difference(*pairs[0])
    if ensemble.repeated:
        mean = mean_difference(
            [float(combined.mean() - member.mean()) for combined, member in pairs],
            n_train=min(each.n_train for each in ensemble.repeated),
            n_validation=max(len(each.truth) for each in ensemble.repeated),
        )
        difference = Measured(mean.mean, mean.interval)  # type: ignore[arg-type]
    refit = first.folds.manifest["inputs"].get(f"{first.best_member}/refit", {})
    costs = [_operations(inputs, result, key) for key in (first.reference.key, refit.get("key"))]
    if all(costs):
        text = _text(difference._asdict(), is_difference=True)
        values = {"difference": text, "ratio": costs[0] / costs[1]}
        values["member"] = ensemble.member_title(first.best_member)
        yield "worth" if difference.interval.low > 0 else "dear", "N6", values


def _operations(inputs: ReportInputs, result: Mapping[str, Any], key: str | None) -> float:
    """Operations of the model of a key, or of its like on other training images; 0 if none."""
    manifests = {each.manifest["key"]: each.manifest for each in inputs.artifacts.values()}
    for row in result["rows"]:
        own, other = manifests.get(key or ""), manifests[row["artifact"]["key"]]
        identity = other["stage"], other["material"]["config"]
        if own and not row["reason"] and (own["stage"], own["material"]["config"]) == identity:
            return float(row["giga_operations"])
    return 0.0


_STEPS = {"N2": _more, "N3": _labels, "N4": _sets, "N5": _border, "N6": _ensemble}
