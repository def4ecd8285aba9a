"""Tables N1 to N6: what the part's stages found, and the sentences that their numbers carry."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flowers17.artifacts import Artifact
from flowers17.files import yaml_beside
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval, Measured, mean_difference
from flowers17.reporting.paired_comparisons import paired_comparisons
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import interval_text, signed

MOST = 5  # sentences
WORDS: Mapping[str, Any] = yaml_beside(__file__, "../known/next_steps.yaml")


def answers(inputs: ReportInputs) -> dict[str, tuple[Artifact, Mapping[str, Any]]]:
    """The artifact of each question that was asked and what it found, by the table's number.

    `reason` stands in place of an answer where there is none.
    """
    by_number = {}
    for number, words in WORDS["tables"].items():
        for artifact in inputs.stage(words["stage"]) if "stage" in words else ():
            by_number[number] = artifact, artifact.json("result")
    return by_number


def answer_tables(inputs: ReportInputs) -> list[Table]:
    """The table of each question that was asked."""
    tables = []
    for number, (artifact, result) in answers(inputs).items():
        records = [
            Record(
                _shown({**row, **times_of(artifact, row.get("model", ""))}),
                group=row.get("group", ""),
                missing=row.get("reason", ""),
                source=artifact.reference,
            )
            for row in result.get("rows", ())
        ]
        lead = WORDS["tables"][number].get("lead", "")
        lead = f"No answer: {result['reason']}." if result["reason"] else lead.format(**result)
        tables.append(table(number, records, lead.replace("%", " %")))
    return tables


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not empty; a measure with its interval as such."""
    return {
        key: Measured(value["value"], value["interval"] and Interval(*value["interval"]))
        if isinstance(value, Mapping) and "interval" in value
        else value
        for key, value in values.items()
        if value not in (None, "")
    }


def times_of(artifact: Artifact, label: str) -> dict[str, float]:
    """A model's milliseconds an image on the machine that timed it, by column: its metrics."""
    metrics, columns = artifact.manifest["metrics"], ("ms_1", "ms_32", "onnx_1", "onnx_32")
    return {key: metrics[f"{label}, {key}"] for key in columns if f"{label}, {key}" in metrics}


def table(number: str, records: Iterable[Record], lead: str) -> Table:
    """A table of this part by its words."""
    words = WORDS["tables"][number]
    columns, notes = [Column(**each) for each in words["columns"]], tuple(words.get("notes", ()))
    return Table(number, words["title"], columns, list(records), lead=lead, notes=notes)


def steps_table(inputs: ReportInputs) -> list[Table]:
    """Table N1; none if no question has an answer."""
    steps = [
        {"step": text, "numbers": Cell(f"Table {number}", anchor=f"table-{number.lower()}")}
        for text, number in steps_of(inputs)
    ]
    lead = WORDS["tables"]["N1"]["lead"]
    return [table("N1", map(Record, steps), lead)] if steps else []


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
    ends = measured["interval"]
    return f"{value} ({interval_text(ends and Interval(*ends))})"


def _more(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    for row in [row for row in result["rows"] if row.get("gain")][:1]:
        if row["gain"]["interval"]:
            is_gain = round(row["gain"]["interval"][0], 3) > 0  # more than is written as nothing
            gain = _text(row["gain"], is_difference=True)
            values = {**row, "accuracy": _text(row["accuracy"]), "gain": gain}
            values["measure"] = result["measure"]
            yield "more" if is_gain else "no_more", "N2", values


def _labels(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    if result["n_pairs"]:
        yield "pairs", "N3", result
    is_more = result["n_suspects"] > result["n_by_chance"][2]
    otherwise = "perhaps_labels" if result["n_suspects"] else "no_labels"
    yield "labels" if is_more else otherwise, "N3", result


def _sets(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    coverage = result["rows"][0]["coverage"]
    if result["n_calibrating"] < result["n_needed"]:
        yield "few_for_sets", "N4", result
    elif coverage["interval"][1] < result["promised"]:
        yield "no_sets", "N4", {**result, "coverage": _text(coverage)}
    elif result["several"] > 0.5:
        yield "unsure", "N4", result
    elif result["several"] > 0:
        yield "sets", "N4", {**result, "right": _text(result["right"])}


def _border(_: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    for row in result["rows"]:
        ends = (row.get("border") or {}).get("interval")
        if ends and ends[0] > row["area"]:
            yield "border", "N5", {**row, "border": _text(row["border"])}


def _ensemble(inputs: ReportInputs, result: Mapping[str, Any]) -> Iterator[Step]:
    """The first ensemble beside its best member: difference, and how much more it computes."""
    ensemble = next((each for each in ensembles_of(inputs) if each.first), None)
    first = ensemble.first if ensemble else None
    if not ensemble or not first:
        return
    pairs = [each.answers() for each in ensemble.repeated or [first]]
    [comparison] = paired_comparisons(pairs[:1])
    difference = Measured(comparison.difference, comparison.interval)
    if ensemble.repeated:
        mean = mean_difference(
            [float(combined.mean() - member.mean()) for combined, member in pairs],
            n_train=min(each.n_train for each in ensemble.repeated),
            n_validation=max(len(each.truth) for each in ensemble.repeated),
        )
        difference = Measured(mean.mean, mean.interval)
    refit = first.folds.manifest["inputs"].get(f"{first.best_member}/refit", {})
    costs = [_operations(inputs, result, key) for key in (first.reference.key, refit.get("key"))]
    if all(costs):
        text = _text(difference._asdict(), is_difference=True)
        values = {"difference": text, "ratio": costs[0] / costs[1]}
        values["member"] = ensemble.member_title(first.best_member)
        is_worth = difference.interval and difference.interval.low > 0
        yield "worth" if is_worth else "dear", "N6", values


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
