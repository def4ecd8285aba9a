"""Table 9-paired: which differences of Table 9 are more than chance, image by image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from flowers17.config import FeatureMapSettings, HeadSettings
from flowers17.files import yaml_beside
from flowers17.reporting.columns import Record
from flowers17.reporting.finetuning.networks import configuration_title, tag_of, tuned_network
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    LEVEL,
    PairedComparison,
    comparison_values,
    paired_comparisons,
)
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.words import worded_table


@dataclass(frozen=True)
class Question:
    """What is asked of an extractor's networks, in phase B.

    outcome: how the answer is put. change: from the first head to the second; empty where the
    second is the same network in phase A.
    """

    title: str
    outcome: str
    change: Mapping[str, Any]

    def shared(self, first: HeadSettings, second: HeadSettings) -> str:
        """What two networks have in common that differ in this."""
        if "optimizer" in self.change:
            return first.name.partition(" + ")[2] or "nothing else"
        return configuration_title(second.name)


_QUESTIONS = [Question(**each) for each in yaml_beside(__file__, "../known/questions.yaml")]


class Pair(NamedTuple):
    """Two cells of Table 9 on the same validation images, and what is asked of them.

    study: the study's difference between them.
    """

    maps: FeatureMapSettings
    question: Question
    title: str
    first: FineTuning
    second: FineTuning
    study: float | None


def tuned_paired_table(inputs: ReportInputs) -> Table:
    """Table 9-paired: phases, optimizers, batch norm and dropout, each by itself."""
    maps = dict.fromkeys(network.maps for network in inputs.study.fine_tuning.networks)
    pairs = [pair for each in maps for pair in _pairs(inputs, each)]
    comparisons = paired_comparisons(
        (inputs.correct(pair.first), inputs.correct(pair.second)) for pair in pairs
    )
    records = []
    findings: dict[str, dict[str, list[PairedComparison]]] = {}
    for pair, comparison in zip(pairs, comparisons, strict=True):
        extractor = map_title(pair.maps)
        findings.setdefault(extractor, {}).setdefault(pair.question.outcome, []).append(comparison)
        values = {
            "comparison": pair.title,
            "study": pair.study,
            **comparison_values(comparison, "only_first", "only_second"),
            "judged": comparison.verdict,
        }
        group, source = f"{extractor}: {pair.question.title}", pair.first.artifact.reference
        records.append(Record(values, group=group, tag=tag_of([pair.first]), source=source))
    return worded_table(
        "9-paired",
        records,
        inputs=inputs,
        networks=[tuning for pair in pairs for tuning in (pair.first, pair.second)],
        findings=findings,
        comparisons=comparisons,
        mean=fmean,
        level=LEVEL,
    )


def _pairs(inputs: ReportInputs, maps: FeatureMapSettings) -> Iterator[Pair]:
    rows = [each for each in inputs.study.fine_tuning.networks if each.maps == maps]
    for question in _QUESTIONS:
        phase: Phase = "b" if question.change else "a"
        for row in rows:
            head = row.head.model_copy(update=question.change)
            alternative = row.model_copy(update={"head": head})
            if alternative not in rows or (question.change and alternative == row):
                continue
            network = tuned_network(inputs, row, "report")
            counterpart = tuned_network(inputs, alternative, "report")
            first, second, study = network.firsts.get("b"), counterpart.firsts.get(phase), None
            if network.study and counterpart.study:  # to the study's three decimals
                study = round(network.study["b"] - counterpart.study[phase], 3)
            if first and second:
                yield Pair(maps, question, question.shared(row.head, head), first, second, study)
