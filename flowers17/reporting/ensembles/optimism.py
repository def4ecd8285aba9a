"""Table 5-leak: the optimism of meta-learners under each stacking scheme.

A meta-learner's apparent accuracy is that in cross-validation on the images that it is fitted on.
Its optimism is the excess of the apparent accuracy over that on held-out images: large where the
members predict images that they were trained on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from flowers17.reporting.cells import value_cell
from flowers17.reporting.columns import Form, number_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.ensembles.titles import meta_learner_title
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval, MeanSpread, mean_difference, mean_spread
from flowers17.reporting.tables import Cell, Column, Record, StudyNote, Table
from flowers17.reporting.wording import decimal_text, signed

_SCHEMES = {
    "biased": "on their own training images",
    "hold-out": "on one held-out fold",
    "out-of-fold": "out of fold",
}


class Estimate(NamedTuple):
    """An accuracy, or a difference of two, with its interval."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Optimism(Record):
    """A meta-learner's optimism under one scheme: apparent minus held-out accuracy.

    n_fitted: images that it is fitted on; None for means over repeated splits.
    """

    scheme: str
    meta_learner: str
    apparent: Estimate
    held_out: Estimate
    optimism: Estimate
    n_fitted: int | None = None

    @property
    def sentence(self) -> str:
        """The three in words."""
        low, high = self.optimism.interval or Interval(-1.0, 1.0)
        chance = "" if low > 0 or high < 0 else ", not more than chance may explain"
        return (
            f"apparent {self.apparent.value:.3f}, held-out {self.held_out.value:.3f}: an optimism "
            f"of {_points(self.optimism.value)} points (95 % interval {_points(low)} to "
            f"{_points(high)}){chance}"
        )


def _points(share: float) -> str:
    """A difference in points, with one decimal."""
    return decimal_text(100 * share, ".1f")


def _cell(record: Optimism, estimate: Estimate, form: Form) -> Cell:
    return replace(
        value_cell(estimate.value, form, source=record.source), interval=estimate.interval
    )


def _estimate(mean: MeanSpread) -> Estimate:
    return Estimate(mean.mean, mean.interval)


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
    Column("apparent", "Apparent", lambda r: _cell(r, r.apparent, ".3f"), interval=True),
    Column("held_out", "Held-out", lambda r: _cell(r, r.held_out, ".3f"), interval=True),
    Column("optimism", "Optimism", lambda r: _cell(r, r.optimism, signed), interval=True),
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
    title = "Optimism of the stacking schemes"
    lead = " ".join(filter(None, map(finding, ensembles_of(inputs))))
    notes = (
        "Apparent: the meta-learner cross-validated over the rows that it is fitted on, all that "
        "is known without other images. Held-out: on the split’s validation images. Optimism: "
        "apparent minus held-out accuracy.",
        StudyNote(
            "The study fits on predictions of images that the base learners were trained on."
        ),
        "The optimism’s interval is Newcombe’s hybrid score interval (1998), the two accuracies "
        "being measured on different images; over several splits, Nadeau and Bengio’s (2003).",
        *_hold_out_notes(inputs),
    )
    return [
        Table("5-leak", title, _COLUMNS, records, lead, notes),
        Table("5-leak-splits", f"{title}: split by split", _COLUMNS, by_split, notes=notes),
    ]


def optimisms(ensemble: Ensemble, result: EnsembleResult) -> list[Optimism]:
    """Each meta-learner under each scheme on one split."""
    return [
        Optimism(
            stacking.scheme,
            stacking.meta_learner,
            Estimate(stacking.apparent.accuracy, stacking.apparent.interval),
            Estimate(stacking.held_out.accuracy, stacking.held_out.interval),
            Estimate(stacking.optimism, stacking.optimism_interval),
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
                _estimate(mean_spread([split.apparent.accuracy for split in splits], **sizes)),
                _estimate(mean_spread([split.held_out.accuracy for split in splits], **sizes)),
                _estimate(mean_difference([split.optimism for split in splits], **sizes)),
                group=f"{ensemble.capital_title}, mean over {len(repeated)} clean splits",
                tag=ensemble.tag,
            )
        )
    return records


def _hold_out_notes(inputs: ReportInputs) -> Iterator[str]:
    """Yield a sentence for each reason why there is no hold-out, with where it holds."""
    headings: dict[str, list[str]] = {}
    for ensemble in ensembles_of(inputs):
        for result in ensemble.combined:
            if result.no_hold_out:
                headings.setdefault(result.no_hold_out, []).append(ensemble.heading(result))
    for reason, places in headings.items():
        where = "; ".join(places)
        yield f"{where}: no row for one held-out fold, nor a mean of it: {reason}."


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
    by_scheme = {record.scheme: record for record in records if record.meta_learner == name}
    schemes = {
        "biased": "fitted on the members’ own training images",
        "out-of-fold": "fitted on out-of-fold predictions",
    }
    sentences = [
        f"{title}, {by_scheme[scheme].sentence}"
        for scheme, title in schemes.items()
        if scheme in by_scheme
    ]
    meta_learner = meta_learner_title(name)
    return f"{ensemble.capital_title}, {where}, {meta_learner}: {'; '.join(sentences)}."
