"""Table 9-paired: which differences of Table 9 are more than chance, image by image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from flowers17.config import FeatureMapSettings, FineTunedSettings, HeadSettings
from flowers17.reporting.columns import study_column, text_column
from flowers17.reporting.finetuning.cells import (
    configuration_title,
    on_the_reports_split,
    study_of,
    tag_of,
)
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    LEVEL,
    PairedComparison,
    PairedRecord,
    comparison_columns,
    paired_comparisons,
)
from flowers17.reporting.reference import TwoPhases
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import signed
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


_QUESTIONS = (
    Question("Phase B against phase A", "phase B raises the accuracy", {}),
    Question("Adam against SGD, in phase B", "Adam is above SGD", {"optimizer": "sgd"}),
    Question(
        "With batch norm against without, in phase B",
        "batch norm raises the accuracy",
        {"batch_norm": False},
    ),
    Question(
        "With dropout against without, in phase B", "dropout raises the accuracy", {"dropout": 0.0}
    ),
)


@dataclass(frozen=True, kw_only=True)
class DifferenceRecord(PairedRecord):
    """Two cells of Table 9 on the same validation images. study: the study's difference."""

    maps: FeatureMapSettings
    question: Question
    tunings: tuple[FineTuning, FineTuning]
    study: float | None

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance."""
        return bool(self.comparison and self.comparison.significant)


_COLUMNS: Sequence[Column[DifferenceRecord]] = [
    text_column("comparison", "Otherwise the same", lambda r: r.title),
    study_column(lambda r: r.study, signed, title="Study’s difference"),
    *comparison_columns(
        first=("only_first", "First alone right"), second=("only_second", "Second alone right")
    ),
    text_column(
        "judged",
        "The difference",
        lambda r: "is real" if r.significant else "may be chance",
        lambda r: "real" if r.significant else "chance",
    ),
]


def tuned_paired_table(inputs: ReportInputs) -> Table:
    """Table 9-paired: phases, optimizers, batch norm and dropout, each by itself."""
    pairs = [pair for maps in inputs.study.fine_tuning.table for pair in _pairs(inputs, maps)]
    comparisons = paired_comparisons(
        (inputs.correct(pair.tunings[0]), inputs.correct(pair.tunings[1])) for pair in pairs
    )
    compared = list(zip(pairs, comparisons, strict=True))
    findings: dict[str, dict[str, list[PairedComparison]]] = {}
    for pair, comparison in compared:
        of_maps = findings.setdefault(map_title(pair.maps), {})
        of_maps.setdefault(pair.question.outcome, []).append(comparison)
    return worded_table(
        "9-paired",
        _COLUMNS,
        [replace(pair, comparison=comparison) for pair, comparison in compared],
        inputs=inputs,
        networks=[tuning for pair in pairs for tuning in pair.tunings],
        findings=findings,
        comparisons=comparisons,
        mean=fmean,
        level=LEVEL,
    )


def _pairs(inputs: ReportInputs, maps: FeatureMapSettings) -> Iterator[DifferenceRecord]:
    heads = inputs.study.fine_tuning.heads
    for question in _QUESTIONS:
        phase: Phase = "b" if question.change else "a"
        for head in heads:
            alternative = head.model_copy(update=question.change)
            if alternative not in heads or (question.change and alternative == head):
                continue
            networks = [FineTunedSettings(maps=maps, head=each) for each in (head, alternative)]
            first = on_the_reports_split(inputs, networks[0].name, "b")
            second = on_the_reports_split(inputs, networks[1].name, phase)
            if first and second:
                yield DifferenceRecord(
                    question.shared(head, alternative),
                    maps=maps,
                    question=question,
                    tunings=(first, second),
                    study=_difference(study_of(networks[0]), study_of(networks[1]), phase),
                    group=f"{map_title(maps)}: {question.title}",
                    tag=tag_of([first]),
                    source=first.artifact.reference,
                )


def _difference(first: TwoPhases | None, second: TwoPhases | None, phase: Phase) -> float | None:
    """The study's first accuracy in phase B less the second in a phase, to its three decimals."""
    return round(first.b - getattr(second, phase), 3) if first and second else None
