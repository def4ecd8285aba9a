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
    recipe_notes,
    study_of,
    tag_of,
)
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    LEVEL,
    P_COLUMNS,
    PairedComparison,
    PairedRecord,
    difference_column,
    only_first_column,
    only_second_column,
    paired_comparisons,
)
from flowers17.reporting.reference import TwoPhases
from flowers17.reporting.tables import Column, StudyNote, Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import signed


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
    first: FineTuning
    second: FineTuning
    study: float | None

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance."""
        return bool(self.comparison and self.comparison.significant)


_COLUMNS: Sequence[Column[DifferenceRecord]] = [
    text_column("comparison", "Otherwise the same", lambda r: r.title),
    study_column(lambda r: r.study, signed, title="Study’s difference"),
    difference_column(),
    only_first_column("only_first", "First alone right"),
    only_second_column("only_second", "Second alone right"),
    *P_COLUMNS,
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
        (inputs.correct_of(pair.first), inputs.correct_of(pair.second)) for pair in pairs
    )
    compared = list(zip(pairs, comparisons, strict=True))
    return Table(
        "9-paired",
        "Which differences of Table 9 are more than chance?",
        _COLUMNS,
        [replace(pair, comparison=comparison) for pair, comparison in compared],
        lead=in_words(compared),
        notes=(
            "McNemar’s test counts the images of the report’s split on which exactly one of the "
            "two is right. Holm’s correction allows for the number of tests, all of this table’s "
            f"together; “real”: p below {LEVEL:g} then. What may be chance is not shown to be "
            "nothing: on a few hundred images a few points can seldom be told from noise.",
            "One training each: that of another seed may differ too (Table 9-repeated).",
            StudyNote(
                "The study’s differences cannot be tested, since its predictions are not known."
            ),
            *recipe_notes(inputs, [t for pair in pairs for t in (pair.first, pair.second)]),
        ),
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
                    first=first,
                    second=second,
                    study=_difference(study_of(networks[0]), study_of(networks[1]), phase),
                    group=f"{map_title(maps)}: {question.title}",
                    tag=tag_of([first]),
                    source=first.artifact.reference,
                )


def _difference(first: TwoPhases | None, second: TwoPhases | None, phase: Phase) -> float | None:
    """The study's first accuracy in phase B less the second in a phase, to its three decimals."""
    return round(first.b - getattr(second, phase), 3) if first and second else None


def in_words(compared: Sequence[tuple[DifferenceRecord, PairedComparison]]) -> str:
    """Which differences are more than chance, extractor by extractor."""
    if not compared:
        return "Nothing can be compared."
    n_real = sum(comparison.significant for _, comparison in compared)
    sentences = [
        f"Of {len(compared)} differences {n_real or 'none'} {'are' if n_real > 1 else 'is'} more "
        "than chance; the others may be noise."
    ]
    for maps in dict.fromkeys(pair.maps for pair, _ in compared):
        outcomes = []
        for question in _QUESTIONS:
            answers = [c for pair, c in compared if (pair.maps, pair.question) == (maps, question)]
            if answers:
                outcomes.append(_outcome(question, answers))
        sentences.append(f"{map_title(maps)}: {'; '.join(outcomes)}.")
    return " ".join(sentences)


def _outcome(question: Question, comparisons: Sequence[PairedComparison]) -> str:
    values = [comparison.difference for comparison in comparisons]
    real = [comparison.difference for comparison in comparisons if comparison.significant]
    n_above, n_below = (sum(sign * value > 0 for value in real) for sign in (1, -1))
    text = f"{n_above or 'none'} by more than chance"
    text += f", {n_below} the other way by more than chance" if n_below else ""
    return (
        f"{question.outcome} in {sum(value > 0 for value in values)} of {len(values)} pairs (mean "
        f"{signed(fmean(values))}), {text}"
    )
