"""The tables of Part A.2 in their order, and Table 5: ensembles beside their members."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from flowers17.ensemble.calibration import N_BINS
from flowers17.reporting import reference as published
from flowers17.reporting.cells import Cell, verdict_cell
from flowers17.reporting.columns import Record
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.members import classes_table, importances_table, members_table
from flowers17.reporting.ensembles.optimism import optimism_tables
from flowers17.reporting.ensembles.records import By, EnsembleResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import mean_difference
from flowers17.reporting.paired_comparisons import (
    comparison_values,
    mean_verdict,
    paired_comparisons,
    with_mean,
)
from flowers17.reporting.records import over_repeats
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import method_title
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


_BY = {"refit": "refit", "average": "fold models averaged"}
STUDY_STACKING = "random_forest, biased"


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
        records.append(Record({"method": split}, group="Not run", missing=missing))
    where = "each split" if by_split else "a split"
    for result in () if by_split else results:
        where = f"{result.split_title}: {len(result.rows):,} images, {result.n_train:,} to train on"
    return ensemble.table(
        "5",
        records or list(_absent_records(ensemble)),
        "-splits" * by_split,
        by_split=by_split,
        where=where,
        kinds={result.kind for result in results},
    )


def _split_records(
    ensemble: Ensemble, result: EnsembleResult, *, by_split: bool
) -> Iterator[Record]:
    """Yield the members, the methods, and the study's stacking."""
    heading = (
        f"{result.split_title}, {result.n_train:,} training, {len(result.rows):,} validation images"
    )
    scores = dict(result.outcomes)
    biased = result.stacking("biased", "random_forest")
    if ensemble.is_study and biased:
        scores[STUDY_STACKING] = {"refit": biased.held_out}
    for name, by_models in scores.items():
        values = {**_heading(ensemble, name), **by_models}
        refit, average = values["refit"], values.get("average")
        values["verdict"] = verdict_cell(refit, values["study"], ensemble.compares(result))
        if average:
            values["difference"] = refit.accuracy - average.accuracy
        yield ensemble.record(values, result, heading if by_split else _group(ensemble, name))


def _absent_records(ensemble: Ensemble) -> Iterator[Record]:
    """Yield the rows of what was not combined, with the study's numbers."""
    for name in (*ensemble.members, "average", *[STUDY_STACKING] * ensemble.is_study):
        values, missing = _heading(ensemble, name), ensemble.reason_absent()
        yield Record(values, group=_group(ensemble, name), missing=missing)


def _group(ensemble: Ensemble, name: str) -> str:
    return "Base learners" if name in ensemble.members else "Together"


def _heading(ensemble: Ensemble, name: str) -> dict[str, Any]:
    """Title of a member or method, and the study's accuracy of it."""
    if name == STUDY_STACKING:
        title = "stacking, random forest, fitted as in the study"
    else:
        is_member = name in ensemble.members
        title = ensemble.member_title(name) if is_member else method_title(name)
    references = {
        "average": published.AVERAGE_OF_TABLE_5,
        STUDY_STACKING: published.STACKING_OF_TABLE_5,
    }
    reference = references.get(name, published.TABLE_5.get(ensemble.learner(name)))
    return {"method": Cell(title, name), "study": reference if ensemble.is_study else None}


def _means_table(ensemble: Ensemble) -> Table:
    repeated, records = ensemble.repeated, []
    for name in repeated[0].outcomes:
        outcomes = [result.outcomes[name] for result in repeated if name in result.outcomes]
        difference = mean_difference(
            [outcome["refit"].accuracy - outcome["average"].accuracy for outcome in outcomes],
            n_train=min(outcome["refit"].n_train for outcome in outcomes),
            n_validation=max(outcome["refit"].n_validation for outcome in outcomes),
        )
        values = _heading(ensemble, name)
        values |= {"difference": difference, "n_splits": difference.n_splits}
        for by in get_args(By):
            mean = over_repeats(outcome[by] for outcome in outcomes)
            values |= {by: mean, f"{by}_spread": mean.spread if mean else None}
        records.append(Record(values, group=_group(ensemble, name), tag=ensemble.tag))
    return ensemble.table("5-means", records, by_split=False)


def ensemble_paired_table(inputs: ReportInputs) -> Table:
    """Table 5-paired: each ensemble's chosen method against its best member."""
    ensembles = [ensemble for ensemble in ensembles_of(inputs) if ensemble.combined]
    results = [result for ensemble in ensembles for result in ensemble.combined]
    answers = (result.answers() for result in results)
    comparisons = dict(zip(results, paired_comparisons(answers), strict=True))
    by_ensemble, all_records = [], []
    for ensemble in ensembles:
        records = []
        for result in ensemble.combined:
            (method, by), member = result.chosen, result.best_member
            values = {
                "split": result.split,
                "ensemble_accuracy": result.chosen_score,
                "member_accuracy": result.outcomes[member][by],
                **comparison_values(comparisons[result], "only_ensemble", "only_member"),
                "method": Cell(method_title(method), method),
                "member": Cell(ensemble.member_title(member), member),
            }
            records.append(ensemble.record(values, result, ensemble.capital_title))
        own = [comparisons[result] for result in ensemble.combined]
        records, mean = with_mean(records, own, "ensemble_accuracy", "member_accuracy")
        by_ensemble.append((ensemble, ensemble.combined[0], own[0], mean))
        all_records += records
    return worded_table(
        "5-paired",
        all_records,
        by_ensemble=by_ensemble,
        mean_verdict=mean_verdict,
        method_title=method_title,
    )


def calibration_table(inputs: ReportInputs) -> Table:
    """Table 5-calibration: log loss and calibration error before and after tempering."""
    records = []
    for ensemble in ensembles_of(inputs):
        for result in ensemble.combined:
            for calibration in result.calibrations:
                method, by = calibration["method"], calibration["by"]
                values = {
                    **calibration,
                    "method": Cell(method_title(method), method),
                    "by": Cell(_BY[by], by),
                    "error": calibration["expected_calibration_error"],
                    "calibrated_error": calibration["calibrated_expected_calibration_error"],
                }
                records.append(ensemble.record(values, result))
    return worded_table("5-calibration", records, n_bins=N_BINS)
