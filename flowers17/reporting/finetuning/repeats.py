"""Tables 9-repeated, 9b and 9c: networks trained again, with other seeds and on other splits."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev

from flowers17.config import FineTunedSettings
from flowers17.reporting.cells import selection_notes
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
    frozen_part_notes,
    phases_of,
    recipe_notes,
    settings_title,
    study_of,
    tuning_record,
)
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, mean_difference, within
from flowers17.reporting.networks import best_mean
from flowers17.reporting.records import over_repeats
from flowers17.reporting.reference import BEST_OF_TABLE_9
from flowers17.reporting.tables import Cell, Column, StudyNote, Table
from flowers17.reporting.wording import signed, thousands


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
    return Table(
        "9-repeated",
        "The same networks with other seeds",
        _SEEDS_COLUMNS,
        records,
        lead=_lead(records),
        notes=(
            "A seed decides the head’s first weights, the order of the images and what is dropped. "
            "The images are the same each time, so that the spread says nothing of other images; "
            "an interval of Table 9 does.",
            *recipe_notes(inputs, [tuning for record in records for tuning in record.tunings]),
        ),
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


def best_tuned_over_clean(inputs: ReportInputs) -> tuple[FineTuning, MeanSpread] | None:
    """The network with the highest mean over clean splits: its first split, the mean."""
    names = dict.fromkeys(tuning.name for tuning in inputs.fine_tunings)
    phases = [phases_of(inputs, name, "repeated") for name in names]
    return best_mean(tunings for network in phases for tunings in network.values() if tunings)


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
    return Cell(signed(mean.mean), mean.mean, mean.interval)


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
    tunings = [tuning for record in records for tuning in record.tunings]
    return Table(
        "9b",
        "Fine-tuned networks over clean splits",
        _MEAN_COLUMNS,
        records,
        lead=f"Accuracy over repeated splits that keep {inputs.kept_together} on one side.",
        notes=(
            StudyNote(f"The study’s best is {BEST_OF_TABLE_9:.3f}, on its one split."),
            *selection_notes(tuning.recipe for tuning in tunings),
            "Repeated splits share most of their images; the intervals use the corrected variance "
            "of Nadeau and Bengio (2003). The trainings behind a mean are in Table 9c.",
            *frozen_part_notes(tunings),
            *_rate_notes(tunings),
            *recipe_notes(inputs, tunings),
        ),
    )


def _record(inputs: ReportInputs, settings: FineTunedSettings) -> TuningRecord:
    name, phases, missing = settings.name, phases_of(inputs, settings.name, "repeated"), ""
    if not phases["a"] and not phases["b"]:
        missing = inputs.reason_absent("finetuning", part="b2", name=name)
    elif not phases["b"]:
        reason = inputs.reason_absent("finetuning", part="b2", name=name, phase="b")
        missing = f"phase B: {reason}"
    return tuning_record(settings_title(settings), name, phases, missing)


def _rate_notes(tunings: Iterable[FineTuning]) -> Iterator[str]:
    """Yield at which rates the blocks are trained, if not at the head's."""
    for decay in sorted({tuning.layer_decay for tuning in tunings} - {1.0}):
        yield (
            f"Phase B trains at discriminative rates: the last block at {decay:g} times the head’s "
            f"rate, each block before it at {decay:g} times that of the block behind it."
        )


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
    return Table(
        "9c",
        "Fine-tuned networks, split by split",
        _SPLIT_COLUMNS,
        [record for network in networks for record in _split_records(inputs, network)],
        lead="Each split is a training of its own, with 95 % intervals.",
    )


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
