"""Table 3d: our own networks averaged, against the best of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowers17.artifacts import Reference
from flowers17.ensemble.averaging import averaged
from flowers17.reporting.cells import mean_cell, score_cell, selection_notes
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import text_column
from flowers17.reporting.learners.cells import learner_title
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.paired_comparisons import (
    P_COLUMNS,
    PairedRecord,
    difference_column,
    mean_over_splits,
    mean_text,
    meanjudged,
    only_first_column,
    only_second_column,
    paired_comparisons,
)
from flowers17.reporting.records import Score, Training, over_repeats
from flowers17.reporting.tables import Cell, Column, Table
from flowers17.reporting.wording import signed


@dataclass(frozen=True)
class SplitAverage:
    """Networks of one split averaged, and the best of them, on the split's validation images.

    score: of the average. correct: bool (n_validation,), which images it classifies correctly.
    """

    score: Score
    correct: np.ndarray
    best: Training


def split_averages(inputs: ReportInputs) -> list[SplitAverage]:
    """The average of all our own networks on each split that all were trained on.

    The best is the network with the highest mean accuracy over these splits. Empty for fewer than
    two networks.
    """
    networks = [
        {training.score.split: training for training in inputs.own_trainings.get(name, [])}
        for name in inputs.study.learners.best
    ]
    if len(networks) < 2:
        return []
    shared = [split for split in networks[0] if all(split in network for network in networks)]
    best = max(networks, key=lambda network: sum(network[s].score.accuracy for s in shared))
    averages = []
    for split in shared:
        rows, score = inputs.validation_rows(split), best[split].score
        members = [network[split].artifact.array("proba")[rows] for network in networks]
        correct = averaged(np.stack(members)).argmax(axis=1) == inputs.labels[rows]
        score = replace(score, n_correct=int(correct.sum()))
        averages.append(SplitAverage(score, correct, best[split]))
    return averages


@dataclass(frozen=True)
class AverageRecord(PairedRecord):
    """The average beside its best member, on one split or by their means over repeated ones."""

    average: Score | MeanSpread | None = None
    member: Score | MeanSpread | None = None


def _accuracy_cell(accuracy: Score | MeanSpread | None, source: Reference | None = None) -> Cell:
    if isinstance(accuracy, MeanSpread):
        return mean_cell(accuracy)
    return score_cell(accuracy, source=source)


_COLUMNS: Sequence[Column[AverageRecord]] = [
    text_column("split", "Split", lambda r: r.title, lambda r: r.value),
    Column("average", "Average", lambda r: _accuracy_cell(r.average), interval=True),
    Column("member", "Best network", lambda r: _accuracy_cell(r.member, r.source), interval=True),
    difference_column(interval=True),
    only_first_column("only_average", "Average alone right"),
    only_second_column("only_member", "Network alone right"),
    *P_COLUMNS,
]


def averaged_table(inputs: ReportInputs) -> Table:
    """Table 3d: our own networks averaged, split by split; no rows for fewer than two."""
    averages = split_averages(inputs)
    names = [learner_title(name) for name in inputs.study.learners.best]
    best = learner_title(averages[0].best.learner) if averages else ""
    lead = f"The mean of the probabilities of {', '.join(names)}, beside the best of them, {best}."
    records = _records(inputs, averages)
    return Table(
        "3d",
        "Our own networks, averaged",
        _COLUMNS,
        records,
        lead=f"{lead} {_verdict(records)}",
        notes=(
            *selection_notes(average.best.recipe for average in averages),
            "Nothing is fitted, so the average needs no folds. The best network is the one with "
            "the highest mean on these same images, which favours it. McNemar’s test counts the "
            "images on which exactly one of the two is right; Holm’s correction allows for the "
            "number of splits. Means have the intervals of Nadeau and Bengio (2003).",
        ),
    )


def _records(inputs: ReportInputs, averages: Sequence[SplitAverage]) -> list[AverageRecord]:
    """The record of each split, and that of the means over two repeated ones or more."""
    comparisons = paired_comparisons(
        (average.correct, inputs.correct_of(average.best)) for average in averages
    )
    pairs = list(zip(averages, comparisons, strict=True))
    records = [
        AverageRecord(
            average.score.split,
            comparison=comparison,
            average=average.score,
            member=average.best.score,
            source=average.best.artifact.reference,
        )
        for average, comparison in pairs
    ]
    repeated = [pair for pair in pairs if pair[0].score.kind == "repeated"]
    n_train = (average.score.n_train for average, _ in repeated)
    if mean := mean_over_splits([comparison for _, comparison in repeated], n_train):
        title = f"mean over {mean.n_splits} clean splits"
        average = over_repeats(average.score for average in averages)
        member = over_repeats(average.best.score for average in averages)
        records.append(AverageRecord(title, "mean", None, mean, average, member))
    return records


def _verdict(records: Sequence[AverageRecord]) -> str:
    """Whether the average is better: over the repeated splits, else on the first."""
    comparison = records[0].comparison if records else None
    if not comparison:
        return ""
    if mean := records[-1].mean:
        splits = f"{mean.n_splits} clean splits"
        return f"The average is {meanjudged(mean)} it over {splits}: {mean_text(mean)}."
    difference = signed(comparison.difference)
    return f"The average is {comparison.reading} it on split {records[0].title}: {difference}."
