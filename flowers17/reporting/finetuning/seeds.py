"""Table 9-repeated: networks of Table 9 trained again with other seeds."""

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from flowers17.config import FineTunedSettings
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.finetuning.cells import (
    TuningRecord,
    phases_of,
    recipe_notes,
    settings_title,
    study_of,
    tuning_record,
)
from flowers17.reporting.metrics import within
from flowers17.reporting.tables import Column, Table


def _accuracies(record: TuningRecord) -> list[float]:
    return [tuning.score.accuracy for tuning in record.tunings]


def _mean(record: TuningRecord) -> float | None:
    return fmean(_accuracies(record)) if record.tunings else None


def _spread(record: TuningRecord) -> float | None:
    return stdev(_accuracies(record)) if len(record.tunings) > 1 else None


def _reference(record: TuningRecord) -> float | None:
    return getattr(record.study, record.value, None)


def _each(record: TuningRecord) -> str | None:
    return ", ".join(f"{accuracy:.3f}" for accuracy in _accuracies(record)) or None


_COLUMNS: Sequence[Column[TuningRecord]] = [
    text_column("phase", "Phase", lambda r: r.title, lambda r: r.value),
    number_column("study", "Study", _reference, linked=False),
    number_column("mean", "Mean", _mean, reference=_reference),
    number_column("spread", "± s.d.", _spread),
    number_column("lowest", "Lowest", lambda r: min(_accuracies(r), default=None)),
    number_column("highest", "Highest", lambda r: max(_accuracies(r), default=None)),
    number_column("n_seeds", "Seeds", lambda r: len(r.tunings) or None, "d", linked=False),
    text_column("accuracies", "Each seed", _each),
]


def seeds_table(inputs: ReportInputs) -> Table:
    """Table 9-repeated: mean and spread over seeds, on the report's split."""
    records = [
        record
        for settings in inputs.study.fine_tuning.repeated
        for record in _records(inputs, settings)
    ]
    return Table(
        "9-repeated",
        "The same networks with other seeds",
        _COLUMNS,
        records,
        lead=_lead(records),
        notes=(
            "A seed decides the head’s first weights, the order of the images and what is dropped. "
            "The images are the same each time, so that the spread says nothing of other images; "
            "an interval of Table 9 does.",
            *recipe_notes(inputs, [tuning for record in records for tuning in record.tunings]),
        ),
    )


def _records(inputs: ReportInputs, settings: FineTunedSettings) -> Iterator[TuningRecord]:
    """Yield the record of each phase with all its seeds."""
    name, group, study = settings.name, settings_title(settings), study_of(settings)
    for phase, tunings in phases_of(
        inputs, name, "report", inputs.study.fine_tuning.n_seeds
    ).items():
        reason = inputs.reason_absent("finetuning", name=name, phase=phase, split="report")
        missing, title = "" if tunings else reason, f"phase {phase.upper()}"
        yield tuning_record(title, phase, {phase: tunings}, missing, group, study)


def _lead(records: Sequence[TuningRecord]) -> str:
    text = "Validation accuracy on the report’s split, trained again with further seeds."
    several = [record for record in records if len(record.tunings) > 1]
    if not several:
        return text
    widest = max(stdev(_accuracies(record)) for record in several)
    n_inside = sum(
        all(within(record.tunings[0].score.interval, value) for value in _accuracies(record))
        for record in several
    )
    return (
        f"{text} The standard deviation over seeds is {widest:.3f} at most; in {n_inside} of "
        f"{len(several)} rows all other seeds lie in the first one’s interval of Table 9."
    )
