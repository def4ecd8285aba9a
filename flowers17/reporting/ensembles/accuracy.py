"""Table 5: how the ensembles do beside their members, by split and over splits."""

from collections.abc import Iterator, Sequence

from flowers17.reporting.cells import mean_cell, spread_cell
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import (
    comparable,
    count_cell,
    data_notes,
    ensemble_title,
    is_the_studys,
    learner_of,
    made_of,
    member_title,
    members_of,
    method_title,
    reason_unmade,
    repeated_of,
    split_title,
    suffix_of,
    tag_of,
    unmade_splits,
)
from flowers17.reporting.ensembles.records import Ensemble, Outcome
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.metrics import mean_difference
from flowers17.reporting.records import over_repeats
from flowers17.reporting.reference import (
    AVERAGE_OF_TABLE_5,
    STACKING_OF_TABLE_5,
    TABLE_5,
    title_of,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.verdicts import verdict_cell
from flowers17.reporting.wording import capital, signed

AS_THE_STUDY = "random_forest, biased"
_TRAINED = (
    "“Refit”: one model on all training images of the split, for the mean number of epochs that "
    "the folds found. “Fold models averaged”: the mean of one model a fold. “Out of fold”: "
    "training images, each predicted by models that did not see it; meta-learners and weights are "
    "cross-validated over the same folds. No validation image chooses anything.",
)


def accuracy_tables(inputs: ReportInputs, name: str) -> list[Table]:
    """Return Table 5 of an ensemble, and split by split if there are several.

    Its means over repeated clean splits if there are two of them, else its first split.
    """
    made = [one for one in made_of(inputs, name) if one.stacked]
    unmade = unmade_splits(inputs, name)
    suffix, studys = suffix_of(inputs, name), is_the_studys(inputs, name)
    title = title_of("table", 5) if studys else ""
    title = title or f"{capital(ensemble_title(inputs, name))}: members, average, stacking"
    repeated = repeated_of(inputs, name)
    if len(repeated) > 1:
        first = _means_table(inputs, name, f"5{suffix}", title, repeated)
    else:
        first = _split_table(inputs, name, f"5{suffix}", title, made[:1], [])
    if len(made) + len(unmade) < 2:
        return [first]
    by_split = f"{title}: split by split"
    return [first, _split_table(inputs, name, f"5{suffix}-splits", by_split, made, unmade)]


def _split_table(
    inputs: ReportInputs,
    name: str,
    number: str,
    title: str,
    made: Sequence[Ensemble],
    unmade: Sequence[str],
) -> Table:
    studys, several = is_the_studys(inputs, name), number.endswith("-splits")
    rows = [row for one in made for row in _rows(inputs, one, by_split=several)]
    n_columns = 5 + 2 * studys
    rows += [
        Row(
            (Cell(split), *[EMPTY] * (n_columns - 1)),
            "Not run",
            missing=reason_unmade(inputs, name, split),
        )
        for split in unmade
    ]
    if not rows:
        rows = list(_absent_rows(inputs, name, n_columns))
    where = "each split" if several else "a split"
    if not several and made:
        one = made[0]
        where = f"{split_title(one)}: {len(one.rows):,} images, {one.n_train:,} to train on"
    return Table(
        number,
        title,
        (
            Column("method", "Predicted by", numeric=False),
            *((Column("study", "Study"),) * studys),
            Column("refit", "Refit", interval=True),
            *((Column("verdict", "Against the study", numeric=False),) * studys),
            Column("average", "Fold models averaged", interval=True),
            Column("difference", "Refit − averaged"),
            Column("out_of_fold", "Out of fold", interval=True),
        ),
        tuple(rows),
        lead=f"Validation accuracy with 95 % intervals, on {where}.",
        notes=(*_TRAINED, *_study_notes(inputs, name, made)),
    )


def _study_notes(inputs: ReportInputs, name: str, made: Sequence[Ensemble]) -> tuple[str, ...]:
    if not is_the_studys(inputs, name):
        return data_notes(inputs)
    notes = [
        "The study fits its random forest on predictions for the learners’ own training images: "
        "the last row does the same, and only this row is set against the study’s stacking."
    ]
    if comparable(inputs, name):
        notes.append(
            "“within”: the study’s number lies in our interval; “better”: it lies below our "
            "interval; “below”: it lies above our interval."
        )
    if any(one.kind != "report" for one in made):
        notes.append(
            "The study’s one split is random, so that near-duplicates may lie on both sides of "
            "it; here they never do, which makes its numbers a little harder to reach. The study "
            "also keeps the epoch that suits its validation images best."
        )
    return (*notes, *data_notes(inputs, [tag_of(inputs, name)]))


def reference_of(name: str) -> float | None:
    """Return the study's accuracy of a member, a method, or its way of stacking."""
    references = {"average": AVERAGE_OF_TABLE_5, AS_THE_STUDY: STACKING_OF_TABLE_5}
    return references.get(name, TABLE_5.get(learner_of(name)))


def _rows(inputs: ReportInputs, one: Ensemble, *, by_split: bool) -> Iterator[Row]:
    studys, tag = is_the_studys(inputs, one.name), tag_of(inputs, one.name)
    heading = f"{split_title(one)}, {one.n_train:,} training, {len(one.rows):,} validation images"
    for outcomes, group in ((one.learners, "Base learners"), (one.methods, "Together")):
        for outcome in outcomes:
            cells = _outcome_cells(inputs, one, outcome, studys=studys)
            yield Row(cells, heading if by_split else group, tag)
    biased = next(
        (w for w in one.stackings if (w.way, w.meta_learner) == ("biased", "random_forest")), None
    )
    if studys and biased and one.stacked:
        reference, source = STACKING_OF_TABLE_5, one.stacked.reference
        yield Row(
            (
                Cell("stacking, random forest, fitted as in the study", AS_THE_STUDY),
                number_cell(reference),
                count_cell(biased.honest, biased.n_honest, source, reference),
                _verdict(inputs, one, biased.honest, reference),
                EMPTY,
                EMPTY,
                EMPTY,
            ),
            heading if by_split else "Together",
            tag,
        )


def _outcome_cells(
    inputs: ReportInputs, one: Ensemble, outcome: Outcome, *, studys: bool
) -> tuple[Cell, ...]:
    is_member = outcome.name in [member.name for member in one.members]
    title = method_title(outcome.name)
    if is_member:
        title = member_title(inputs, outcome.name, short=studys)
    reference = reference_of(outcome.name) if studys else None
    source = one.stacked.reference if one.stacked else None
    n, difference = len(one.rows), (outcome.refit - outcome.average) / len(one.rows)
    theirs = (number_cell(reference),) * studys
    judged = (_verdict(inputs, one, outcome.refit, reference),) * studys
    return (
        Cell(title, outcome.name),
        *theirs,
        count_cell(outcome.refit, n, source, reference),
        *judged,
        count_cell(outcome.average, n, source),
        Cell(signed(difference), difference, artifact=source),
        count_cell(outcome.out_of_fold, one.n_train, source),
    )


def _verdict(inputs: ReportInputs, one: Ensemble, n_correct: int, reference: float | None) -> Cell:
    like_the_study = comparable(inputs, one.name) and one.kind in ("report", "clean")
    return verdict_cell(one.score(n_correct), reference, like_the_study)


def _absent_rows(inputs: ReportInputs, name: str, n_columns: int) -> Iterator[Row]:
    studys, why = is_the_studys(inputs, name), reason_unmade(inputs, name)
    names = members_of(inputs, name)
    together = ["average", AS_THE_STUDY] if studys else ["average"]
    for one, group in [(m, "Base learners") for m in names] + [(m, "Together") for m in together]:
        title = member_title(inputs, one, short=studys) if one in names else method_title(one)
        title = "stacking, random forest" if one == AS_THE_STUDY else title
        theirs = [number_cell(reference_of(one))] if studys else []
        blank = [EMPTY] * (n_columns - 1 - len(theirs))
        yield Row((Cell(title, one), *theirs, *blank), group, missing=why)


def _means_table(
    inputs: ReportInputs, name: str, number: str, title: str, made: Sequence[Ensemble]
) -> Table:
    studys = is_the_studys(inputs, name)
    rows = []
    for kind, group in (("learners", "Base learners"), ("methods", "Together")):
        for outcome in getattr(made[0], kind):
            same = [
                (one, found)
                for one in made
                for found in getattr(one, kind)
                if found.name == outcome.name
            ]
            rows.append(_mean_row(inputs, name, same, group))
    return Table(
        number,
        title,
        (
            Column("method", "Predicted by", numeric=False),
            *((Column("study", "Study"),) * studys),
            Column("refit", "Refit, mean", interval=True),
            Column("refit_spread", "± s.d."),
            Column("average", "Fold models averaged, mean", interval=True),
            Column("average_spread", "± s.d."),
            Column("difference", "Refit − averaged", interval=True),
            Column("n_splits", "Splits"),
        ),
        tuple(rows),
        lead=f"Validation accuracy over {len(made)} clean splits, which keep near-duplicates on "
        "one side.",
        notes=(
            *_TRAINED,
            "Repeated splits share most of their images; the intervals use the corrected variance "
            "of Nadeau and Bengio (2003).",
            *data_notes(inputs, [tag_of(inputs, name)] if studys else []),
        ),
    )


def _mean_row(
    inputs: ReportInputs, name: str, same: Sequence[tuple[Ensemble, Outcome]], group: str
) -> Row:
    studys, outcome = is_the_studys(inputs, name), same[0][1]
    reference = reference_of(outcome.name) if studys else None
    cells: list[Cell] = []
    for by in ("refit", "average"):
        over = over_repeats(one.score(getattr(found, by)) for one, found in same)
        if over:
            cells += [mean_cell(over, reference if by == "refit" else None), spread_cell(over)]
    between = mean_difference(
        [(found.refit - found.average) / len(one.rows) for one, found in same],
        n_train=min(one.n_train for one, _ in same),
        n_validation=max(len(one.rows) for one, _ in same),
    )
    is_member = outcome.name in members_of(inputs, name)
    title = method_title(outcome.name)
    if is_member:
        title = member_title(inputs, outcome.name, short=studys)
    theirs = (number_cell(reference),) * studys
    count = Cell(str(len(same)), len(same))
    difference = Cell(signed(between.mean), between.mean, between.interval)
    return Row(
        (Cell(title, outcome.name), *theirs, *cells, difference, count), group, tag_of(inputs, name)
    )
