"""Table 9-repeated: networks of Table 9 trained again with other seeds."""

from collections.abc import Sequence
from statistics import fmean, stdev

from flowers17.config import FineTunedSettings
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.finetuning.cells import (
    PHASES,
    asked_title,
    on_the_reports_split,
    recipe_notes,
    reference_of,
    tag_of,
)
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.metrics import within
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table


def seeds_table(inputs: ReportInputs) -> Table:
    """Return Table 9-repeated: mean and spread over seeds, on the report's split."""
    asked = inputs.study.fine_tuning
    made = {
        (one.name, phase): _made(inputs, one, phase) for one in asked.repeated for phase in PHASES
    }
    every = [one for found in made.values() for one in found]
    return Table(
        "9-repeated",
        "The same networks with other seeds",
        (
            Column("phase", "Phase", numeric=False),
            Column("study", "Study"),
            Column("mean", "Mean"),
            Column("spread", "± s.d."),
            Column("lowest", "Lowest"),
            Column("highest", "Highest"),
            Column("n_seeds", "Seeds"),
            Column("accuracies", "Each seed", numeric=False),
        ),
        tuple(
            _row(inputs, one, phase, made[one.name, phase])
            for one in asked.repeated
            for phase in PHASES
        ),
        lead=_lead(every, list(made.values())),
        notes=(
            "A seed decides the head’s first weights, the order of the images and what is dropped. "
            "The images are the same each time, so that the spread says nothing of other images; "
            "an interval of Table 9 does.",
            *recipe_notes(inputs, every),
        ),
    )


def _made(inputs: ReportInputs, asked: FineTunedSettings, phase: Phase) -> list[FineTuning]:
    numbers = range(1, inputs.study.fine_tuning.n_seeds + 1)
    found = (on_the_reports_split(inputs, asked.name, phase, number) for number in numbers)
    return [one for one in found if one]


def _lead(every: Sequence[FineTuning], by_network: Sequence[Sequence[FineTuning]]) -> str:
    text = "Validation accuracy on the report’s split, trained again with further seeds."
    several = [found for found in by_network if len(found) > 1]
    if not several:
        return text
    widest = max(stdev(one.score.accuracy for one in found) for found in several)
    inside = sum(
        all(within(found[0].score.interval, one.score.accuracy) for one in found[1:])
        for found in several
    )
    return (
        f"{text} The standard deviation over seeds is {widest:.3f} at most; in {inside} of "
        f"{len(several)} rows all other seeds lie in the first one’s interval of Table 9."
    )


def _row(
    inputs: ReportInputs, asked: FineTunedSettings, phase: Phase, made: Sequence[FineTuning]
) -> Row:
    group, title = asked_title(inputs, asked), Cell(f"phase {phase.upper()}", phase)
    study = number_cell(reference_of(asked.head.name, asked.maps.extractor, phase))
    if not made:
        why = inputs.reason_absent("finetuning", name=asked.name, phase=phase, split="report")
        return Row((title, study, *[EMPTY] * 6), group, missing=why)
    values, source = [one.score.accuracy for one in made], made[0].artifact.reference
    mean = fmean(values)
    spread = stdev(values) if len(values) > 1 else None
    cells = (
        title,
        study,
        Cell(f"{mean:.3f}", mean, None, study.value, source),
        EMPTY if spread is None else Cell(f"{spread:.3f}", spread, artifact=source),
        Cell(f"{min(values):.3f}", min(values), artifact=source),
        Cell(f"{max(values):.3f}", max(values), artifact=source),
        Cell(str(len(values)), len(values)),
        Cell(", ".join(f"{value:.3f}" for value in values)),
    )
    return Row(cells, group, tag_of(made))
