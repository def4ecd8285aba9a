"""The tables of Part B.2 in their order: Table 9, with other seeds, and over clean splits."""

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from flowers17.config import FineTunedSettings
from flowers17.reporting.best_table import best_table
from flowers17.reporting.cells import score_cell
from flowers17.reporting.columns import (
    mean_columns,
    number_column,
    score_column,
    study_column,
    text_column,
)
from flowers17.reporting.finetuning.cells import (
    EPOCH_COLUMNS,
    OF_EITHER,
    OF_PHASE,
    TuningRecord,
    phases_of,
    records_of_table_9,
    settings_title,
    study_of,
    tuning_record,
)
from flowers17.reporting.finetuning.paired import tuned_paired_table
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, mean_difference, within
from flowers17.reporting.networks import comparable
from flowers17.reporting.records import over_repeats
from flowers17.reporting.reference import BEST_OF_TABLE_9
from flowers17.reporting.tables import Cell, Column, Table
from flowers17.reporting.titles import map_title
from flowers17.reporting.wording import signed, thousands
from flowers17.reporting.words import worded_table


def fine_tuning_tables(inputs: ReportInputs) -> list[Table]:
    """Tables 9 and what goes with it, if something was fine-tuned or failed, and 10."""
    tables: list[Table] = []
    if inputs.fine_tunings or inputs.absent_from("b2"):
        tables = [
            phases_table(inputs),
            seeds_table(inputs),
            tuned_paired_table(inputs),
            tuned_table(inputs),
            tuned_splits_table(inputs),
        ]
    return [table for table in (*tables, best_table(inputs)) if table.records]


def phases_table(inputs: ReportInputs) -> Table:
    """Table 9: every configuration of every extractor, phases and studies side by side."""
    columns: Sequence[Column[TuningRecord]] = [
        text_column("configuration", "Configuration", lambda r: r.title, lambda r: r.value),
        *OF_PHASE["a"].compared(
            inputs, lambda r: r.study.a if r.study else None, "Phase A: the head alone", "a"
        ),
        *OF_PHASE["b"].compared(
            inputs, lambda r: r.study.b if r.study else None, "Phase B: the last blocks too", "b"
        ),
        *EPOCH_COLUMNS,
    ]
    records = records_of_table_9(inputs)
    networks = [tuning for record in records for tuning in record.tunings]
    return worded_table(
        "9",
        columns,
        records,
        inputs=inputs,
        networks=networks,
        compared=any(comparable(inputs, network) for network in networks),
        blocks=_unfrozen(inputs, networks),
    )


def _unfrozen(inputs: ReportInputs, tunings: Sequence[FineTuning]) -> str:
    """From which block on each extractor is trained, in words."""
    blocks = {tuning.maps: tuning.unfrozen_from for tuning in tunings if tuning.unfrozen_from}
    titles = {maps.name: map_title(maps) for maps in inputs.study.fine_tuning.table}
    return ", ".join(f"{block} on of {titles[maps]}" for maps, block in sorted(blocks.items()))


def _accuracies(record: TuningRecord) -> list[float]:
    return [tuning.score.accuracy for tuning in record.tunings]


def _mean_over_seeds(record: TuningRecord) -> float | None:
    return fmean(_accuracies(record)) if record.tunings else None


def _spread(record: TuningRecord) -> float | None:
    return stdev(_accuracies(record)) if len(record.tunings) > 1 else None


def _reference(record: TuningRecord) -> float | None:
    return getattr(record.study, record.value, None)


def _each(record: TuningRecord) -> str | None:
    return ", ".join(f"{accuracy:.3f}" for accuracy in _accuracies(record)) or None


_SEEDS_COLUMNS: Sequence[Column[TuningRecord]] = [
    text_column("phase", "Phase", lambda r: r.title, lambda r: r.value),
    study_column(_reference),
    number_column("mean", "Mean", _mean_over_seeds, reference=_reference),
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
        for record in _seeds_records(inputs, settings)
    ]
    several = [record for record in records if len(record.tunings) > 1]
    n_inside = sum(
        all(within(record.tunings[0].score.interval, value) for value in _accuracies(record))
        for record in several
    )
    return worded_table(
        "9-repeated",
        _SEEDS_COLUMNS,
        records,
        inputs=inputs,
        networks=[tuning for record in records for tuning in record.tunings],
        n_rows=len(several),
        n_inside=n_inside,
        widest=max((_spread(record) or 0.0 for record in several), default=0.0),
    )


def _seeds_records(inputs: ReportInputs, settings: FineTunedSettings) -> Iterator[TuningRecord]:
    """Yield the record of each phase with all its seeds."""
    name, group, study = settings.name, settings_title(settings), study_of(settings)
    for phase, tunings in phases_of(
        inputs, name, "report", inputs.study.fine_tuning.n_seeds
    ).items():
        reason = inputs.reason_absent("finetuning", name=name, phase=phase, split="report")
        missing, title = "" if tunings else reason, f"phase {phase.upper()}"
        yield tuning_record(title, phase, {phase: tunings}, missing, group, study)


def _mean(record: TuningRecord, phase: Phase = "b") -> MeanSpread | None:
    return over_repeats(tuning.score for tuning in record.phases[phase])


def _difference_cell(record: TuningRecord) -> Cell | None:
    """Cell of the mean of phase B less phase A over the splits that have both."""
    before = {tuning.score.split: tuning.score for tuning in record.phases["a"]}
    after = [t.score for t in record.phases["b"] if t.score.split in before]
    if not after:
        return None
    mean = mean_difference(
        [score.accuracy - before[score.split].accuracy for score in after],
        n_train=min(score.n_train for score in after),
        n_validation=max(score.n_validation for score in after),
    )
    return score_cell(mean, form=signed)


def _unfrozen_from(record: TuningRecord) -> str | None:
    return record.firsts["b"].unfrozen_from if "b" in record.firsts else None


_MEAN_COLUMNS: Sequence[Column[TuningRecord]] = [
    text_column("network", "Network", lambda r: r.title, lambda r: r.value),
    *mean_columns(_mean, lambda r: BEST_OF_TABLE_9, title="Mean, phase B", linked=False),
    score_column("mean_a", "Mean, phase A", lambda r: _mean(r, "a"), linked=False),
    Column("difference", "B − A", _difference_cell, interval=True),
    OF_EITHER.number("input_size", "Input, pixels", lambda t: t.input_size, "d"),
    text_column("unfrozen", "Trained from", _unfrozen_from),
    OF_PHASE["b"].number("trained", "Parameters trained in B", lambda t: t.n_trainable, thousands),
]


def tuned_table(inputs: ReportInputs) -> Table:
    """Table 9b: means of both phases over repeated clean splits, and their difference."""
    records = [_record(inputs, settings) for settings in inputs.study.fine_tuning.own]
    return worded_table(
        "9b",
        _MEAN_COLUMNS,
        records,
        inputs=inputs,
        networks=[tuning for record in records for tuning in record.tunings],
        best_of_study=BEST_OF_TABLE_9,
    )


def _record(inputs: ReportInputs, settings: FineTunedSettings) -> TuningRecord:
    name, phases, missing = settings.name, phases_of(inputs, settings.name, "repeated"), ""
    if not phases["a"] and not phases["b"]:
        missing = inputs.reason_absent("finetuning", part="b2", name=name)
    elif not phases["b"]:
        reason = inputs.reason_absent("finetuning", part="b2", name=name, phase="b")
        missing = f"phase B: {reason}"
    return tuning_record(settings_title(settings), name, phases, missing)


_SPLIT_COLUMNS: Sequence[Column[TuningRecord]] = [
    text_column("split", "Split", lambda r: r.title),
    OF_PHASE["b"].accuracy("b", "Phase B"),
    OF_PHASE["a"].accuracy("a", "Phase A"),
    OF_PHASE["b"].number("validation_loss", "Validation loss, B", lambda t: t.validation_loss),
    OF_PHASE["b"].number("train_accuracy", "Training accuracy, B", lambda t: t.train_accuracy),
    OF_EITHER.number("n_train", "Training images", lambda t: t.score.n_train, "d"),
    OF_EITHER.number("n_validation", "Validation images", lambda t: t.score.n_validation, "d"),
    *EPOCH_COLUMNS,
]


def tuned_splits_table(inputs: ReportInputs) -> Table:
    """Table 9c: the networks of Table 9b, split by split."""
    networks = [_record(inputs, settings) for settings in inputs.study.fine_tuning.own]
    records = [record for network in networks for record in _split_records(inputs, network)]
    return worded_table("9c", _SPLIT_COLUMNS, records)


def _split_records(inputs: ReportInputs, network: TuningRecord) -> Iterator[TuningRecord]:
    name, splits = network.value, [tuning.score.split for tuning in network.tunings]
    absences = inputs.absences("finetuning", part="b2", name=name)
    splits += [absent.split for absent in absences if absent.split != "report"]
    for split in dict.fromkeys(splits):
        phases = {
            phase: [tuning for tuning in tunings if tuning.score.split == split]
            for phase, tunings in network.phases.items()
        }
        reason = inputs.reason_absent("finetuning", name=name, phase="b", split=split)
        missing = "" if phases["b"] else reason
        yield TuningRecord(split, split, phases, group=network.title, missing=missing)
