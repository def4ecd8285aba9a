"""Table 5-leak: the optimism of meta-learners under each stacking scheme.

A meta-learner's apparent accuracy is that in cross-validation on the images that it is fitted on.
Its optimism is the excess of the apparent accuracy over that on held-out images: large where the
members predict images that they were trained on.
"""

from dataclasses import dataclass

from flowers17.reporting.columns import number_column, score_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import (
    Interval,
    MeanSpread,
    Measured,
    mean_difference,
    mean_spread,
)
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.titles import meta_learner_title
from flowers17.reporting.wording import signed
from flowers17.reporting.words import text, worded_table

_SCHEMES = {
    "biased": "on their own training images",
    "hold-out": "on one held-out fold",
    "out-of-fold": "out of fold",
}


@dataclass(frozen=True)
class Optimism(Record):
    """A meta-learner's optimism under one scheme: apparent minus held-out accuracy.

    n_fitted: images that it is fitted on; None for means over repeated splits.
    """

    scheme: str
    meta_learner: str
    apparent: Measured
    held_out: Measured
    optimism: Measured
    n_fitted: int | None = None


def _measured(mean: MeanSpread) -> Measured:
    return Measured(mean.mean, mean.interval or Interval(-1.0, 1.0))


_COLUMNS: tuple[Column[Optimism], ...] = (
    text_column(
        "scheme", "Fitted on predictions", lambda r: _SCHEMES[r.scheme], lambda r: r.scheme
    ),
    text_column(
        "meta_learner",
        "Meta-learner",
        lambda r: meta_learner_title(r.meta_learner),
        lambda r: r.meta_learner,
    ),
    number_column("n_fitted", "Rows fitted on", lambda r: r.n_fitted, ",", linked=False),
    score_column("apparent", "Apparent", lambda r: r.apparent),
    score_column("held_out", "Held-out", lambda r: r.held_out),
    score_column("optimism", "Optimism", lambda r: r.optimism, form=signed),
)


def optimism_tables(inputs: ReportInputs) -> list[Table]:
    """Table 5-leak, and 5-leak-splits if an ensemble was combined on several repeated splits.

    Apparent and held-out accuracy, and the optimism, of each meta-learner under each scheme.
    """
    records: list[Optimism] = []
    by_split: list[Optimism] = []
    for ensemble in ensembles_of(inputs):
        records += mean_optimisms(ensemble)
        for result in ensemble.combined:
            several = result in ensemble.repeated
            (by_split if several else records).extend(optimisms(ensemble, result))
    findings = " ".join(filter(None, map(finding, ensembles_of(inputs))))
    reasons = _no_hold_out(inputs)
    return [
        worded_table("5-leak", _COLUMNS, records, findings=findings, no_hold_out=reasons),
        worded_table("5-leak-splits", _COLUMNS, by_split, no_hold_out=reasons),
    ]


def optimisms(ensemble: Ensemble, result: EnsembleResult) -> list[Optimism]:
    """Each meta-learner under each scheme on one split."""
    return [
        Optimism(
            stacking.scheme,
            stacking.meta_learner,
            Measured(stacking.apparent.accuracy, stacking.apparent.interval),
            Measured(stacking.held_out.accuracy, stacking.held_out.interval),
            stacking.optimism,
            stacking.apparent.n_validation,
            group=ensemble.heading(result),
            tag=ensemble.tag,
            source=result.reference,
        )
        for stacking in result.stackings
    ]


def mean_optimisms(ensemble: Ensemble) -> list[Optimism]:
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
            Optimism(
                first.scheme,
                first.meta_learner,
                _measured(mean_spread([split.apparent.accuracy for split in splits], **sizes)),
                _measured(mean_spread([split.held_out.accuracy for split in splits], **sizes)),
                _measured(mean_difference([split.optimism.value for split in splits], **sizes)),
                group=f"{ensemble.capital_title}, mean over {len(repeated)} clean splits",
                tag=ensemble.tag,
            )
        )
    return records


def _no_hold_out(inputs: ReportInputs) -> dict[str, list[str]]:
    """Each reason why there is no hold-out, with the headings of where it holds."""
    headings: dict[str, list[str]] = {}
    for ensemble in ensembles_of(inputs):
        for result in ensemble.combined:
            if result.no_hold_out:
                headings.setdefault(result.no_hold_out, []).append(ensemble.heading(result))
    return headings


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
    records, where = optimisms(ensemble, first), first.split_title
    if ensemble.repeated:
        records = mean_optimisms(ensemble)
        where = f"mean over {len(ensemble.repeated)} clean splits"
    return text(
        "table 5-leak",
        "finding",
        ensemble=ensemble,
        where=where,
        meta_learner=meta_learner_title(name),
        optimisms={record.scheme: record for record in records if record.meta_learner == name},
    )
