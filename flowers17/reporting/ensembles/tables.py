"""The tables of Part A.2 in their order, and Table 5: ensembles beside their members."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers17.reporting import reference as published
from flowers17.reporting.cells import score_cell, spread_cell, value_cell
from flowers17.reporting.columns import (
    number_column,
    score_column,
    study_column,
    text_column,
    verdict_column,
)
from flowers17.reporting.ensembles.calibration import calibration_table
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.members import classes_table, importances_table, members_table
from flowers17.reporting.ensembles.optimism import optimism_tables
from flowers17.reporting.ensembles.paired import ensemble_paired_table
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, mean_difference
from flowers17.reporting.records import Score, over_repeats
from flowers17.reporting.tables import Cell, Column, Record, Table
from flowers17.reporting.titles import method_title
from flowers17.reporting.wording import signed
from flowers17.reporting.words import worded_table


def ensemble_tables(inputs: ReportInputs) -> list[Table]:
    """Tables 4 to 6 and what goes with them, of ensembles with predictions or with a reason."""
    if not inputs.ensemble_results and not inputs.absent_from("a2"):
        return []
    ensembles = ensembles_of(inputs)
    tables = [
        *map(members_table, ensembles),
        *(table for ensemble in ensembles for table in accuracy_tables(ensemble)),
        *optimism_tables(inputs),
        ensemble_paired_table(inputs),
        calibration_table(inputs),
        *map(importances_table, ensembles),
        *(classes_table(ensemble, ensemble.first) for ensemble in ensembles if ensemble.first),
    ]
    return [table for table in tables if table.rows]


STUDY_STACKING = "random_forest, biased"


@dataclass(frozen=True)
class OutcomeRecord(Record):
    """A member or a method by name, with its scores on one split, or their means over several.

    reference: the study's accuracy; comparable: whether it measures the same. differences: mean by
    which the refit is better than the averaged models, over several splits.
    """

    name: str | None
    title: str
    reference: float | None = None
    refit: Score | MeanSpread | None = None
    average: Score | MeanSpread | None = None
    out_of_fold: Score | None = None
    comparable: bool = False
    differences: MeanSpread | None = None


def _difference(record: OutcomeRecord) -> Cell | None:
    if record.differences:
        return score_cell(record.differences, form=signed)
    if not isinstance(record.refit, Score) or not isinstance(record.average, Score):
        return None
    difference = record.refit.accuracy - record.average.accuracy
    return value_cell(difference, signed, source=record.source)


def _n_splits(record: OutcomeRecord) -> int | None:
    return record.differences.n_splits if record.differences else None


_METHOD: tuple[Column[OutcomeRecord], ...] = (
    text_column("method", "Predicted by", lambda r: r.title, lambda r: r.name),
    study_column(lambda r: r.reference),
)
_SPLIT_COLUMNS: tuple[Column[OutcomeRecord], ...] = (
    *_METHOD,
    score_column("refit", "Refit", lambda r: r.refit, lambda r: r.reference),
    verdict_column(lambda r: r.refit, lambda r: r.reference, lambda r: r.comparable),
    score_column("average", "Fold models averaged", lambda r: r.average),
    Column("difference", "Refit − averaged", _difference),
    score_column("out_of_fold", "Out of fold", lambda r: r.out_of_fold),
)


_MEAN_COLUMNS: tuple[Column[OutcomeRecord], ...] = (
    *_METHOD,
    score_column("refit", "Refit, mean", lambda r: r.refit, lambda r: r.reference),
    Column("refit_spread", "± s.d.", lambda r: spread_cell(r.refit)),
    score_column("average", "Fold models averaged, mean", lambda r: r.average),
    Column("average_spread", "± s.d.", lambda r: spread_cell(r.average)),
    Column("difference", "Refit − averaged", _difference, interval=True),
    number_column("n_splits", "Splits", _n_splits, "d", linked=False),
)


def accuracy_tables(ensemble: Ensemble) -> list[Table]:
    """Table 5 of an ensemble, and split by split if there are several.

    Its means over repeated clean splits if there are two of them, else its first split.
    """
    combined = ensemble.combined
    tables = [_means_table(ensemble) if ensemble.repeated else _split_table(ensemble, combined[:1])]
    if len(combined) + len(ensemble.absent_splits) > 1:
        tables.append(_split_table(ensemble, combined, by_split=True))
    return tables


def _split_table(
    ensemble: Ensemble, results: Sequence[EnsembleResult], *, by_split: bool = False
) -> Table:
    records = [r for result in results for r in _split_records(ensemble, result, by_split=by_split)]
    for split in ensemble.absent_splits if by_split else ():
        missing = ensemble.reason_absent(split)
        records.append(OutcomeRecord(None, split, group="Not run", missing=missing))
    where = "each split" if by_split else "a split"
    for result in () if by_split else results:
        where = f"{result.split_title}: {len(result.rows):,} images, {result.n_train:,} to train on"
    return worded_table(
        "5",
        ensemble.shown(_SPLIT_COLUMNS),
        records or list(_absent_records(ensemble)),
        number=f"5{ensemble.suffix}{'-splits' * by_split}",
        ensemble=ensemble,
        by_split=by_split,
        where=where,
        kinds={result.kind for result in results},
    )


def _means_table(ensemble: Ensemble) -> Table:
    records = [_mean_record(ensemble, name) for name in ensemble.repeated[0].outcomes]
    return worded_table(
        "5-means",
        ensemble.shown(_MEAN_COLUMNS),
        records,
        number=f"5{ensemble.suffix}",
        ensemble=ensemble,
        by_split=False,
    )


def _split_records(
    ensemble: Ensemble, result: EnsembleResult, *, by_split: bool
) -> Iterator[OutcomeRecord]:
    """Yield the members, the methods, and the study's stacking."""
    heading = (
        f"{result.split_title}, {result.n_train:,} training, {len(result.rows):,} validation images"
    )
    scores: dict[str, tuple[Score, Score | None, Score | None]] = {
        name: (outcome.refit, outcome.average, outcome.out_of_fold)
        for name, outcome in result.outcomes.items()
    }
    biased = result.stacking("biased", "random_forest")
    if ensemble.is_study and biased:
        scores[STUDY_STACKING] = (biased.held_out, None, None)
    for name, (refit, average, out_of_fold) in scores.items():
        yield OutcomeRecord(
            name,
            _title(ensemble, name),
            _reference(ensemble, name),
            refit,
            average,
            out_of_fold,
            ensemble.compares(result),
            group=heading if by_split else _group(ensemble, name),
            tag=ensemble.tag,
            source=result.reference,
        )


def _absent_records(ensemble: Ensemble) -> Iterator[OutcomeRecord]:
    """Yield the rows of what was not combined, with the study's numbers."""
    for name in (*ensemble.members, "average", *[STUDY_STACKING] * ensemble.is_study):
        title, reference = _title(ensemble, name), _reference(ensemble, name)
        missing = ensemble.reason_absent()
        yield OutcomeRecord(name, title, reference, group=_group(ensemble, name), missing=missing)


def _group(ensemble: Ensemble, name: str) -> str:
    return "Base learners" if name in ensemble.members else "Together"


def _title(ensemble: Ensemble, name: str) -> str:
    if name == STUDY_STACKING:
        return "stacking, random forest, fitted as in the study"
    return ensemble.member_title(name) if name in ensemble.members else method_title(name)


def _reference(ensemble: Ensemble, name: str) -> float | None:
    """The study's accuracy of a member, of the average, or by its stacking scheme."""
    references = {
        "average": published.AVERAGE_OF_TABLE_5,
        STUDY_STACKING: published.STACKING_OF_TABLE_5,
    }
    if not ensemble.is_study:
        return None
    return references.get(name, published.TABLE_5.get(ensemble.learner(name)))


def _mean_record(ensemble: Ensemble, name: str) -> OutcomeRecord:
    repeated = ensemble.repeated
    outcomes = [result.outcomes[name] for result in repeated if name in result.outcomes]
    return OutcomeRecord(
        name,
        _title(ensemble, name),
        _reference(ensemble, name),
        over_repeats(outcome.refit for outcome in outcomes),
        over_repeats(outcome.average for outcome in outcomes),
        differences=mean_difference(
            [outcome.refit.accuracy - outcome.average.accuracy for outcome in outcomes],
            n_train=min(outcome.refit.n_train for outcome in outcomes),
            n_validation=max(outcome.refit.n_validation for outcome in outcomes),
        ),
        group=_group(ensemble, name),
        tag=ensemble.tag,
    )
