"""Tables 9b and 9c: fine-tuned networks over repeated clean splits."""

from collections.abc import Sequence

from flowers17.config import FineTunedSettings
from flowers17.reporting.cells import integer_cell, mean_cell, selection_notes, spread_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.finetuning.cells import (
    PHASES,
    accuracy_cell,
    asked_title,
    rate_notes,
    recipe_notes,
    repeated,
    tag_of,
    way_notes,
)
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.metrics import MeanSpread, mean_difference
from flowers17.reporting.records import over_repeats
from flowers17.reporting.reference import BEST_OF_TABLE_9
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import signed, thousands


def best_tuned_over_clean(inputs: ReportInputs) -> tuple[FineTuning, MeanSpread] | None:
    """Return the network with the highest mean over clean splits: its first split, the mean."""
    names = dict.fromkeys((one.name, one.phase) for one in inputs.fine_tunings)
    found = []
    for name, phase in names:
        made = repeated(inputs, name, phase)
        if over := over_repeats(one.score for one in made):
            found.append((made[0], over))
    return max(found, key=lambda pair: pair[1].mean, default=None)


def tuned_table(inputs: ReportInputs) -> Table:
    """Return Table 9b: means of both phases over repeated clean splits, and their difference."""
    asked = inputs.study.fine_tuning.own
    made = [one for each in asked for phase in PHASES for one in repeated(inputs, each.name, phase)]
    return Table(
        "9b",
        "Fine-tuned networks over clean splits",
        (
            Column("network", "Network", numeric=False),
            Column("mean", "Mean, phase B", interval=True),
            Column("spread", "± s.d."),
            Column("n_splits", "Splits"),
            Column("mean_a", "Mean, phase A", interval=True),
            Column("difference", "B − A", interval=True),
            Column("input_size", "Input, pixels"),
            Column("unfrozen", "Trained from", numeric=False),
            Column("trained", "Parameters trained in B"),
        ),
        tuple(_row(inputs, one) for one in asked),
        lead="Accuracy over repeated splits that keep near-duplicates on one side, the honest "
        f"measure. The study’s best is {BEST_OF_TABLE_9:.3f}, on its one split.",
        notes=(
            *selection_notes(one.recipe for one in made),
            "Repeated splits share most of their images; the intervals use the corrected variance "
            "of Nadeau and Bengio (2003). The trainings behind a mean are in Table 9c.",
            *way_notes(made),
            *rate_notes(made),
            *recipe_notes(inputs, made),
        ),
    )


def _row(inputs: ReportInputs, asked: FineTunedSettings) -> Row:
    title = Cell(asked_title(inputs, asked), asked.name)
    by_phase = {phase: repeated(inputs, asked.name, phase) for phase in PHASES}
    means = {phase: over_repeats(one.score for one in made) for phase, made in by_phase.items()}
    last, first = means["b"], means["a"]
    made = by_phase["b"] or by_phase["a"]
    if not made:
        why = inputs.reason_absent("finetuning", part="b2", name=asked.name)
        return Row((title, *[EMPTY] * 8), missing=why)
    one, source = made[0], made[0].artifact.reference
    between = _difference(by_phase["a"], by_phase["b"])
    cells = (
        title,
        mean_cell(last, BEST_OF_TABLE_9),
        spread_cell(last),
        integer_cell(last.n_splits if last else None),
        mean_cell(first),
        Cell(signed(between.mean), between.mean, between.interval) if between else EMPTY,
        Cell(str(one.input_size), one.input_size, artifact=source),
        Cell(one.unfrozen_from) if one.unfrozen_from else EMPTY,
        Cell(thousands(one.n_trainable), one.n_trainable, artifact=source) if last else EMPTY,
    )
    missing = ""
    if not last:
        why = inputs.reason_absent("finetuning", part="b2", name=asked.name, phase="b")
        missing = f"phase B: {why}"
    return Row(cells, tag=tag_of([*by_phase["a"], *by_phase["b"]]), missing=missing)


def _difference(first: Sequence[FineTuning], last: Sequence[FineTuning]) -> MeanSpread | None:
    """Return the mean of phase B less phase A over the splits that have both; None without any."""
    before = {one.score.split: one.score for one in first}
    pairs = [(before[one.score.split], one.score) for one in last if one.score.split in before]
    if not pairs:
        return None
    return mean_difference(
        [after.accuracy - earlier.accuracy for earlier, after in pairs],
        n_train=min(one.n_train for pair in pairs for one in pair),
        n_validation=max(one.n_validation for pair in pairs for one in pair),
    )


def tuned_splits_table(inputs: ReportInputs) -> Table:
    """Return Table 9c: the networks of Table 9b, split by split."""
    rows: list[Row] = []
    for asked in inputs.study.fine_tuning.own:
        before = {one.score.split: one for one in repeated(inputs, asked.name, "a")}
        after = {one.score.split: one for one in repeated(inputs, asked.name, "b")}
        splits = dict.fromkeys([*before, *after, *_failed_splits(inputs, asked.name)])
        rows += [
            _split_row(inputs, asked, split, before.get(split), after.get(split))
            for split in splits
        ]
    return Table(
        "9c",
        "Fine-tuned networks, split by split",
        (
            Column("split", "Split", numeric=False),
            Column("b", "Phase B", interval=True),
            Column("a", "Phase A", interval=True),
            Column("validation_loss", "Validation loss, B"),
            Column("train_accuracy", "Training accuracy, B"),
            Column("n_train", "Training images"),
            Column("n_validation", "Validation images"),
            Column("epoch_a", "A", group="Epoch kept"),
            Column("epoch_b", "B", group="Epoch kept"),
        ),
        tuple(rows),
        lead="Each split is a training of its own, with 95 % intervals.",
    )


def _failed_splits(inputs: ReportInputs, name: str) -> list[str]:
    """Return the repeated splits on which a network was asked for and a phase of it failed."""
    absences = inputs.absences("finetuning", part="b2", name=name)
    return [absent.split for absent in absences if absent.split != "report"]


def _split_row(
    inputs: ReportInputs,
    asked: FineTunedSettings,
    split: str,
    before: FineTuning | None,
    after: FineTuning | None,
) -> Row:
    one = after or before
    counts = (one.score.n_train, one.score.n_validation) if one else (None, None)
    kept = [
        Cell(f"{made.best_epoch} of {made.epochs}", made.best_epoch) if made else EMPTY
        for made in (before, after)
    ]
    cells = (
        Cell(split, split),
        accuracy_cell(after),
        accuracy_cell(before),
        number_cell(after.validation_loss if after else None),
        number_cell(after.train_accuracy if after else None),
        *(integer_cell(count) for count in counts),
        *kept,
    )
    missing = ""
    if not after:
        missing = inputs.reason_absent("finetuning", name=asked.name, phase="b", split=split)
    return Row(cells, asked_title(inputs, asked), missing=missing)
