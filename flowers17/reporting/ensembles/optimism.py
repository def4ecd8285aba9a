"""Table 5-leak: the optimism of meta-learners under each stacking scheme.

A meta-learner's apparent accuracy is that in cross-validation on the images that it is fitted on.
Its optimism is the excess of the apparent accuracy over that on held-out images: large where the
members predict images that they were trained on.
"""

from typing import Any

from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Record
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult, StackingResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread, Measured, mean_difference, mean_spread
from flowers17.reporting.tables import Table
from flowers17.reporting.words import text, worded_table


def _values(
    stacking: StackingResult, apparent: Measured, held_out: Measured, optimism: Measured
) -> dict[str, Any]:
    """A meta-learner's optimism under one scheme, by column."""
    name = stacking.meta_learner
    return {
        "scheme": Cell(text("schemes", stacking.scheme), stacking.scheme),
        "meta_learner": Cell(name.replace("_", " "), name),
        "apparent": apparent,
        "held_out": held_out,
        "optimism": optimism,
    }


def _measured(mean: MeanSpread) -> Measured:
    return Measured(mean.mean, mean.interval)


def optimism_tables(inputs: ReportInputs) -> list[Table]:
    """Table 5-leak, and 5-leak-splits if an ensemble was combined on several repeated splits.

    Apparent and held-out accuracy, and the optimism, of each meta-learner under each scheme.
    """
    records: list[Record] = []
    by_split: list[Record] = []
    reasons: dict[str, list[str]] = {}  # why there is no hold-out, with the headings of where
    for ensemble in ensembles_of(inputs):
        group = f"{ensemble.capital_title}, mean over {len(ensemble.repeated)} clean splits"
        records += [
            Record(mean, group=group, tag=ensemble.tag) for mean in mean_optimisms(ensemble)
        ]
        for result in ensemble.combined:
            of_split = by_split if result in ensemble.repeated else records
            of_split += [ensemble.record(values, result) for values in optimisms(result)]
            if result.no_hold_out:
                reasons.setdefault(result.no_hold_out, []).append(ensemble.heading(result))
    findings = " ".join(filter(None, map(finding, ensembles_of(inputs))))
    return [
        worded_table("5-leak", records, findings=findings, no_hold_out=reasons),
        worded_table("5-leak-splits", by_split, no_hold_out=reasons),
    ]


def optimisms(result: EnsembleResult) -> list[dict[str, Any]]:
    """Each meta-learner under each scheme on one split, and how many images it is fitted on."""
    rows = []
    for stacking in result.stackings:
        apparent, held_out = (
            Measured(score.accuracy, score.interval)
            for score in (stacking.apparent, stacking.held_out)
        )
        values = _values(stacking, apparent, held_out, stacking.optimism)
        rows.append(values | {"n_fitted": stacking.apparent.n_validation})
    return rows


def mean_optimisms(ensemble: Ensemble) -> list[dict[str, Any]]:
    """Means over repeated clean splits; none of a scheme that is not there on every split."""
    records, repeated = [], ensemble.repeated
    for first in repeated[0].stackings if repeated else ():
        stackings = [result.stacking(first.scheme, first.meta_learner) for result in repeated]
        splits = [stacking for stacking in stackings if stacking]
        if len(splits) < len(repeated):
            continue
        sizes = {
            "n_train": min(result.n_train for result in repeated),
            "n_validation": max(len(result.rows) for result in repeated),
        }
        records.append(
            _values(
                first,
                _measured(mean_spread([split.apparent.accuracy for split in splits], **sizes)),
                _measured(mean_spread([split.held_out.accuracy for split in splits], **sizes)),
                _measured(mean_difference([split.optimism.value for split in splits], **sizes)),
            )
        )
    return records


def finding(ensemble: Ensemble) -> str:
    """In words, the optimism of the study's scheme and of out-of-fold predictions.

    Under the random forest, if it was fitted; over repeated clean splits, if there are several.
    Empty if the ensemble's members were not combined.
    """
    first = ensemble.first
    if not first or not first.stackings:
        return ""
    meta_learners = [stacking.meta_learner for stacking in first.stackings]
    name = "random_forest" if "random_forest" in meta_learners else meta_learners[0]
    rows, where = optimisms(first), first.split_title
    if ensemble.repeated:
        rows = mean_optimisms(ensemble)
        where = f"mean over {len(ensemble.repeated)} clean splits"
    return text(
        "table 5-leak",
        "finding",
        ensemble=ensemble,
        where=where,
        meta_learner=name.replace("_", " "),
        optimisms={row["scheme"].value: row for row in rows if row["meta_learner"].value == name},
    )
