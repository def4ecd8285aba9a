"""Table 5: how the ensembles do beside their members, by split and over splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers17.reporting.cells import spread_cell
from flowers17.reporting.columns import (
    number_column,
    score_column,
    study_column,
    text_column,
    verdict_column,
)
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.metrics import MeanSpread, mean_difference
from flowers17.reporting.records import Score, over_repeats
from flowers17.reporting.reference import (
    AVERAGE_OF_TABLE_5,
    STACKING_OF_TABLE_5,
    TABLE_5,
    title_of,
)
from flowers17.reporting.tables import Cell, Column, Record, Table
from flowers17.reporting.verdicts import VERDICT_NOTE
from flowers17.reporting.wording import signed

STUDY_STACKING = "random_forest, biased"
_MODELS = (
    "“Refit”: one model on all training images of the split, for the mean number of epochs that "
    "the folds found. “Fold models averaged”: the mean of one model a fold. “Out of fold”: "
    "training images, each predicted by models that did not see it; meta-learners and weights are "
    "cross-validated over the same folds. No validation image chooses anything."
)


@dataclass(frozen=True)
class OutcomeRecord(Record):
    """A member or a method by name, with its scores on one split.

    reference: the study's accuracy; comparable: whether it measures the same.
    """

    name: str | None
    title: str
    reference: float | None = None
    refit: Score | None = None
    average: Score | None = None
    out_of_fold: Score | None = None
    comparable: bool = False

    @property
    def difference(self) -> float | None:
        """By how much the refit is better than the averaged models."""
        if not self.refit or not self.average:
            return None
        return self.refit.accuracy - self.average.accuracy


_SPLIT_COLUMNS: tuple[Column[OutcomeRecord], ...] = (
    text_column("method", "Predicted by", lambda r: r.title, lambda r: r.name),
    study_column(lambda r: r.reference),
    score_column("refit", "Refit", lambda r: r.refit, lambda r: r.reference),
    verdict_column(lambda r: r.refit, lambda r: r.reference, lambda r: r.comparable),
    score_column("average", "Fold models averaged", lambda r: r.average),
    number_column("difference", "Refit − averaged", lambda r: r.difference, signed),
    score_column("out_of_fold", "Out of fold", lambda r: r.out_of_fold),
)


@dataclass(frozen=True)
class MeanRecord(Record):
    """A member or a method by name, over repeated clean splits."""

    name: str
    title: str
    reference: float | None
    refit: MeanSpread | None
    average: MeanSpread | None
    difference: MeanSpread


_MEAN_COLUMNS: tuple[Column[MeanRecord], ...] = (
    text_column("method", "Predicted by", lambda r: r.title, lambda r: r.name),
    study_column(lambda r: r.reference),
    score_column("refit", "Refit, mean", lambda r: r.refit, lambda r: r.reference),
    Column("refit_spread", "± s.d.", lambda r: spread_cell(r.refit)),
    score_column("average", "Fold models averaged, mean", lambda r: r.average),
    Column("average_spread", "± s.d.", lambda r: spread_cell(r.average)),
    Column(
        "difference",
        "Refit − averaged",
        lambda r: Cell(signed(r.difference.mean), r.difference.mean, r.difference.interval),
        interval=True,
    ),
    number_column("n_splits", "Splits", lambda r: r.difference.n_splits, "d", linked=False),
)


def accuracy_tables(ensemble: Ensemble) -> list[Table]:
    """Table 5 of an ensemble, and split by split if there are several.

    Its means over repeated clean splits if there are two of them, else its first split.
    """
    combined = ensemble.combined
    title = f"{ensemble.capital_title}: members, average, stacking"
    title = title_of("table", 5) if ensemble.is_study else title
    if ensemble.repeated:
        tables = [_means_table(ensemble, title)]
    else:
        tables = [_split_table(ensemble, title, combined[:1])]
    if len(combined) + len(ensemble.absent_splits) > 1:
        tables.append(_split_table(ensemble, title, combined, by_split=True))
    return tables


def _split_table(
    ensemble: Ensemble, title: str, results: Sequence[EnsembleResult], *, by_split: bool = False
) -> Table:
    records = [r for result in results for r in _split_records(ensemble, result, by_split=by_split)]
    for split in ensemble.absent_splits if by_split else ():
        missing = ensemble.reason_absent(split)
        records.append(OutcomeRecord(None, split, group="Not run", missing=missing))
    where = "each split" if by_split else "a split"
    for result in () if by_split else results:
        where = f"{result.split_title}: {len(result.rows):,} images, {result.n_train:,} to train on"
    study_notes = _study_notes(ensemble, results) if ensemble.is_study else ()
    return Table(
        f"5{ensemble.suffix}{'-splits' * by_split}",
        f"{title}{': split by split' * by_split}",
        ensemble.shown(_SPLIT_COLUMNS),
        records or list(_absent_records(ensemble)),
        lead=f"Validation accuracy with 95 % intervals, on {where}.",
        notes=(_MODELS, *study_notes, *ensemble.notes),
    )


def _study_notes(ensemble: Ensemble, results: Sequence[EnsembleResult]) -> Iterator[str]:
    yield (
        "The study fits its random forest on predictions for the learners’ own training images: "
        "the last row does the same, and only this row is set against the study’s stacking."
    )
    if ensemble.comparable:
        yield VERDICT_NOTE
    if any(result.kind != "report" for result in results):
        yield (
            "The study’s one split is random, so that near-duplicates may lie on both sides of "
            f"it; clean splits keep {ensemble.inputs.kept_together} on one side, which makes its "
            "numbers a little harder to reach. The study also keeps the epoch that suits its "
            "validation images best."
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
    references = {"average": AVERAGE_OF_TABLE_5, STUDY_STACKING: STACKING_OF_TABLE_5}
    if not ensemble.is_study:
        return None
    return references.get(name, TABLE_5.get(ensemble.learner(name)))


def _means_table(ensemble: Ensemble, title: str) -> Table:
    return Table(
        f"5{ensemble.suffix}",
        title,
        ensemble.shown(_MEAN_COLUMNS),
        [_mean_record(ensemble, name) for name in ensemble.repeated[0].outcomes],
        lead=f"Validation accuracy over {len(ensemble.repeated)} clean splits, which keep "
        f"{ensemble.inputs.kept_together} on one side.",
        notes=(
            _MODELS,
            "Repeated splits share most of their images; the intervals use the corrected variance "
            "of Nadeau and Bengio (2003).",
            *ensemble.notes,
        ),
    )


def _mean_record(ensemble: Ensemble, name: str) -> MeanRecord:
    repeated = ensemble.repeated
    outcomes = [result.outcomes[name] for result in repeated if name in result.outcomes]
    return MeanRecord(
        name,
        _title(ensemble, name),
        _reference(ensemble, name),
        over_repeats(outcome.refit for outcome in outcomes),
        over_repeats(outcome.average for outcome in outcomes),
        mean_difference(
            [outcome.refit.accuracy - outcome.average.accuracy for outcome in outcomes],
            n_train=min(outcome.refit.n_train for outcome in outcomes),
            n_validation=max(outcome.refit.n_validation for outcome in outcomes),
        ),
        group=_group(ensemble, name),
        tag=ensemble.tag,
    )
