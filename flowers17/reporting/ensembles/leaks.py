"""Table 5-leak: by how much a meta-learner fitted the wrong way flatters itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import (
    combined,
    count_cell,
    ensemble_title,
    group_title,
    made_of,
    main_of,
    meta_learner_title,
    names_of,
    repeated_of,
    split_title,
    tag_of,
    way_title,
)
from flowers17.reporting.ensembles.records import Ensemble, WayOfStacking
from flowers17.reporting.metrics import (
    Interval,
    MeanSpread,
    difference_interval,
    mean_difference,
    mean_spread,
)
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import capital, signed


@dataclass(frozen=True)
class Flattery:
    """One way to fit one meta-learner: apparent and honest accuracy, their gap, its interval."""

    apparent: float
    honest: float
    gap: float
    interval: Interval | None


def flattery(one: WayOfStacking) -> Flattery:
    """Return how much a way flatters itself on one split, with Newcombe's interval."""
    interval = difference_interval(one.apparent, one.n_apparent, one.honest, one.n_honest)
    apparent, honest = one.apparent / one.n_apparent, one.honest / one.n_honest
    return Flattery(apparent, honest, one.gap, interval)


@dataclass(frozen=True)
class MeanFlattery:
    """The same over repeated splits."""

    way: WayOfStacking
    apparent: MeanSpread
    honest: MeanSpread
    gap: MeanSpread

    @property
    def summary(self) -> Flattery:
        """Its means, with the interval of the gap's."""
        gap = self.gap
        return Flattery(self.apparent.mean, self.honest.mean, gap.mean, gap.interval)


def mean_flatteries(made: Sequence[Ensemble]) -> list[MeanFlattery]:
    """Return how much each way flatters itself over repeated splits of one ensemble.

    A way that is not there on every split has no mean.
    """
    found = []
    sizes = {
        "n_train": min(one.n_train for one in made),
        "n_validation": max(len(one.rows) for one in made),
    }
    for first in made[0].stackings:
        same = [
            way
            for one in made
            for way in one.stackings
            if (way.way, way.meta_learner) == (first.way, first.meta_learner)
        ]
        if len(same) < len(made):
            continue
        apparent = mean_spread([way.apparent / way.n_apparent for way in same], **sizes)
        honest = mean_spread([way.honest / way.n_honest for way in same], **sizes)
        gap = mean_difference([way.gap for way in same], **sizes)
        found.append(MeanFlattery(first, apparent, honest, gap))
    return found


def leak_tables(inputs: ReportInputs) -> list[Table]:
    """Return Table 5-leak, and 5-leak-splits if an ensemble was made on several repeated splits.

    Apparent and honest accuracy of each way to fit each meta-learner.
    """
    rows: list[Row] = []
    by_split: list[Row] = []
    for name in names_of(inputs):
        repeated = repeated_of(inputs, name)
        several = len(repeated) > 1
        rows += _mean_rows(inputs, repeated) if several else []
        for one in (made for made in made_of(inputs, name) if made.stacked):
            here = by_split if several and one in repeated else rows
            here += [_row(inputs, one, way) for way in one.stackings]
    title = "How much the wrong way flatters itself"
    lead = " ".join(finding(inputs, name) for name in names_of(inputs)).strip()
    notes = tuple(_absences(inputs))
    return [
        _table("5-leak", title, rows, lead, notes),
        _table("5-leak-splits", f"{title}: split by split", by_split, "", notes),
    ]


def _absences(inputs: ReportInputs) -> Iterator[str]:
    """Yield a sentence for each reason why there is no hold-out, with where it holds."""
    reasons = dict.fromkeys(one.no_hold_out for one in combined(inputs) if one.no_hold_out)
    for reason in reasons:
        where = [group_title(inputs, one) for one in combined(inputs) if one.no_hold_out == reason]
        yield f"{'; '.join(where)}: no row for one held-out fold, nor a mean of it: {reason}."


def _table(
    number: str, title: str, rows: Sequence[Row], lead: str, notes: tuple[str, ...]
) -> Table:
    return Table(
        number,
        title,
        (
            Column("way", "Fitted on predictions", numeric=False),
            Column("meta_learner", "Meta-learner", numeric=False),
            Column("n_fitted", "Rows fitted on"),
            Column("apparent", "Apparent", interval=True),
            Column("honest", "Honest", interval=True),
            Column("gap", "Apparent − honest", interval=True),
        ),
        tuple(rows),
        lead=lead,
        notes=(
            "Apparent: the meta-learner cross-validated over the rows that it is fitted on, what "
            "one would believe without other images. Honest: on the split’s validation images. "
            "The study fits on predictions of images that the base learners were trained on.",
            "The gap’s interval is Newcombe’s hybrid score interval (1998), the two accuracies "
            "being measured on different images; over several splits, Nadeau and Bengio’s (2003).",
            *notes,
        ),
    )


def finding(inputs: ReportInputs, name: str) -> str:
    """Return in words how much the study's way and the held-out way flatter themselves.

    Under the random forest, if it was fitted; over repeated clean splits, if there are several.
    Empty if the ensemble's members were not combined.
    """
    one, repeated = main_of(inputs, name), repeated_of(inputs, name)
    if not one or not one.stackings:
        return ""
    learners = [way.meta_learner for way in one.stackings]
    learner = "random_forest" if "random_forest" in learners else learners[0]
    if len(repeated) > 1:
        where = f"mean over {len(repeated)} clean splits"
        means = [each for each in mean_flatteries(repeated) if each.way.meta_learner == learner]
        ways = {each.way.way: each.summary for each in means}
    else:
        where = split_title(one)
        own = [way for way in one.stackings if way.meta_learner == learner]
        ways = {way.way: flattery(way) for way in own}
    said = [
        f"{how}, {_in_words(ways[key])}"
        for key, how in (
            ("biased", "fitted as in the study, on the learners’ own training images"),
            ("out-of-fold", "fitted on out-of-fold predictions"),
        )
        if key in ways
    ]
    title = capital(ensemble_title(inputs, name))
    return f"{title}, {where}, {meta_learner_title(learner)}: {'; '.join(said)}."


def _in_words(found: Flattery) -> str:
    low, high = found.interval or Interval(-1.0, 1.0)
    between = f"(95 % interval {_points(low)} to {_points(high)})"
    numbers = f"it seems to reach {found.apparent:.3f} and reaches {found.honest:.3f}"
    if low > 0:
        return f"{numbers}, flattering itself by {_points(found.gap)} points {between}"
    if high < 0:
        return f"{numbers}, {_points(-found.gap)} points more than it seems {between}"
    chance = "not more than chance may explain"
    return f"{numbers}, a gap of {_points(found.gap)} points, {chance} {between}"


def _points(share: float) -> str:
    """Return a difference in points, with one decimal and a true minus."""
    text = f"{100 * share:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def _row(inputs: ReportInputs, one: Ensemble, way: WayOfStacking) -> Row:
    source = one.stacked.reference if one.stacked else None
    cells = (
        Cell(way_title(way.way), way.way),
        Cell(meta_learner_title(way.meta_learner), way.meta_learner),
        Cell(f"{way.n_fitted:,}", way.n_fitted),
        count_cell(way.apparent, way.n_apparent, source),
        count_cell(way.honest, way.n_honest, source),
        Cell(signed(way.gap), way.gap, flattery(way).interval, artifact=source),
    )
    return Row(cells, group_title(inputs, one), tag_of(inputs, one.name))


def _mean_rows(inputs: ReportInputs, made: Sequence[Ensemble]) -> Iterator[Row]:
    name = made[0].name
    group = f"{capital(ensemble_title(inputs, name))}, mean over {len(made)} clean splits"
    for one in mean_flatteries(made):
        cells = (
            Cell(way_title(one.way.way), one.way.way),
            Cell(meta_learner_title(one.way.meta_learner), one.way.meta_learner),
            EMPTY,
            Cell(f"{one.apparent.mean:.3f}", one.apparent.mean, one.apparent.interval),
            Cell(f"{one.honest.mean:.3f}", one.honest.mean, one.honest.interval),
            Cell(signed(one.gap.mean), one.gap.mean, one.gap.interval),
        )
        yield Row(cells, group, tag_of(inputs, name))
