"""Table 9-paired: which differences of Table 9 are more than chance, image by image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from flowers17.config import FeatureMapSettings, FineTunedSettings, HeadSettings
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.finetuning.cells import (
    configuration_title,
    on_the_reports_split,
    recipe_notes,
    reference_of,
    tag_of,
)
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.metrics import PairedTest, holm, mcnemar
from flowers17.reporting.paired_comparisons import LEVEL, test_cells
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import signed

# What is asked of an extractor's networks, and how the outcome is put.
_QUESTIONS = {
    "phases": ("Phase B against phase A", "phase B raises the accuracy"),
    "optimizer": ("Adam against SGD, in phase B", "Adam is above SGD"),
    "batch_norm": ("With batch norm against without, in phase B", "batch norm raises the accuracy"),
    "dropout": ("With dropout against without, in phase B", "dropout raises the accuracy"),
}


@dataclass(frozen=True)
class Difference:
    """Two cells of Table 9 on the same validation images.

    maps: the extractor's name. question: a key of `_QUESTIONS`. title: what the two have in common.
    study: the study's difference, None if it has none.
    """

    maps: FeatureMapSettings
    question: str
    title: str
    first: FineTuning
    second: FineTuning
    study: float | None
    test: PairedTest

    @property
    def value(self) -> float:
        """By how much the first one's accuracy exceeds the second one's."""
        return self.first.score.accuracy - self.second.score.accuracy


def tuned_paired_table(inputs: ReportInputs) -> Table:
    """Return Table 9-paired: phases, optimizers, batch norm and dropout, each by itself."""
    found = [one for maps in inputs.study.fine_tuning.table for one in _differences(inputs, maps)]
    corrected = holm([one.test.p_value for one in found])
    every = [made for one in found for made in (one.first, one.second)]
    return Table(
        "9-paired",
        "Which differences of Table 9 are more than chance?",
        (
            Column("comparison", "Otherwise the same", numeric=False),
            Column("study", "Study’s difference"),
            Column("difference", "Difference"),
            Column("only_first", "First alone right"),
            Column("only_second", "Second alone right"),
            Column("p", "p, exact McNemar"),
            Column("p_holm", "p, Holm"),
            Column("judged", "The difference", numeric=False),
        ),
        tuple(_row(inputs, one, p) for one, p in zip(found, corrected, strict=True)),
        lead=in_words(inputs, found, corrected),
        notes=(
            "McNemar’s test counts the images of the report’s split on which exactly one of the "
            "two is right. Holm’s correction allows for the number of tests, all of this table’s "
            f"together; “real”: p below {LEVEL:g} then. What may be chance is not shown to be "
            "nothing: on a few hundred images a few points can seldom be told from noise.",
            "One training each: that of another seed may differ too (Table 9-repeated). The "
            "study’s differences cannot be tested, since its predictions are not known.",
            *recipe_notes(inputs, every),
        ),
    )


def _differences(inputs: ReportInputs, maps: FeatureMapSettings) -> Iterator[Difference]:
    heads = inputs.study.fine_tuning.heads

    def made(head: HeadSettings, phase: str) -> FineTuning | None:
        name = FineTunedSettings(maps=maps, head=head).name
        return on_the_reports_split(inputs, name, "a" if phase == "a" else "b")

    pairs: list[tuple[str, str, tuple[HeadSettings, str], tuple[HeadSettings, str]]] = [
        ("phases", configuration_title(head.name), (head, "b"), (head, "a")) for head in heads
    ]
    for question, changed in (
        ("optimizer", {"optimizer": "sgd"}),
        ("batch_norm", {"batch_norm": False}),
        ("dropout", {"dropout": 0.0}),
    ):
        for head in heads:
            other = head.model_copy(update=changed)
            if other != head and other in heads:
                pairs.append((question, _in_common(head, question), (head, "b"), (other, "b")))
    for question, title, one, another in pairs:
        first, second = made(*one), made(*another)
        if first and second:
            test = mcnemar(inputs.correct_of(first), inputs.correct_of(second))
            study = _study_difference(maps.extractor, one, another)
            yield Difference(maps, question, title, first, second, study, test)


def _in_common(head: HeadSettings, question: str) -> str:
    """Return what two configurations share that differ in one thing."""
    if question == "optimizer":
        rest = head.name.partition(" + ")[2]
        return rest or "nothing else"
    changed = {"batch_norm": False} if question == "batch_norm" else {"dropout": 0.0}
    return configuration_title(head.model_copy(update=changed).name)


def _study_difference(
    extractor: str, one: tuple[HeadSettings, str], another: tuple[HeadSettings, str]
) -> float | None:
    first, second = (
        reference_of(head.name, extractor, "a" if phase == "a" else "b")
        for head, phase in (one, another)
    )
    return None if first is None or second is None else round(first - second, 3)


def in_words(inputs: ReportInputs, found: Sequence[Difference], corrected: Sequence[float]) -> str:
    """Return plainly which differences are more than chance, extractor by extractor.

    corrected: the p-values of all differences, corrected together.
    """
    if not found:
        return "Nothing can be compared."
    n_real = sum(p < LEVEL for p in corrected)
    said = [
        f"Of {len(found)} differences {n_real or 'none'} {'are' if n_real > 1 else 'is'} more than "
        "chance; the others may be noise."
    ]
    for maps in dict.fromkeys(one.maps for one in found):
        parts = []
        for question, (_, outcome) in _QUESTIONS.items():
            asked = [
                (one, p)
                for one, p in zip(found, corrected, strict=True)
                if (one.maps, one.question) == (maps, question)
            ]
            if asked:
                parts.append(_outcome(outcome, asked))
        said.append(f"{map_title(maps)}: {'; '.join(parts)}.")
    return " ".join(said)


def _outcome(outcome: str, asked: Sequence[tuple[Difference, float]]) -> str:
    values = [one.value for one, _ in asked]
    above, below = (sum(p < LEVEL and sign * one.value > 0 for one, p in asked) for sign in (1, -1))
    real = f"{above or 'none'} by more than chance"
    real += f", {below} the other way by more than chance" if below else ""
    return (
        f"{outcome} in {sum(value > 0 for value in values)} of {len(values)} pairs (mean "
        f"{signed(fmean(values))}), {real}"
    )


def _row(inputs: ReportInputs, one: Difference, adjusted: float) -> Row:
    source, test = one.first.artifact.reference, one.test
    real = adjusted < LEVEL
    cells = (
        Cell(one.title),
        EMPTY if one.study is None else Cell(signed(one.study), one.study),
        *test_cells(one.value, test, adjusted, source),
        Cell("is real" if real else "may be chance", "real" if real else "chance"),
    )
    group = f"{map_title(one.maps)}: {_QUESTIONS[one.question][0]}"
    return Row(cells, group, tag_of([one.first]))
