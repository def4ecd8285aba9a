"""Tables 3b to 3d: our own recipe for training from scratch, its cost, its networks averaged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowers17.ensemble.predictions import averaged
from flowers17.reporting import reference as published
from flowers17.reporting.columns import mean_columns, score_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.cells import (
    EPOCH_COLUMNS,
    LEARNER_COLUMN,
    OF_TRAINING,
    TrainingRecord,
    training_record,
)
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.networks import NetworkColumns
from flowers17.reporting.paired_comparisons import (
    PairedRecord,
    comparison_columns,
    mean_verdict,
    paired_comparisons,
    with_mean,
)
from flowers17.reporting.records import Score, Training, over_repeats
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.titles import learner_title
from flowers17.reporting.wording import thousands
from flowers17.reporting.words import worded_table

_SINGLE_SPLITS = {"clean": "Clean split", "report": "Report’s split", "official": "Official split"}


def _mean(record: TrainingRecord) -> MeanSpread | None:
    return over_repeats(training.score for training in record.trainings)


def _single_column(kind: str) -> Column[TrainingRecord]:
    """Column of the trainings on the first split of a kind."""

    def training(record: TrainingRecord) -> Training | None:
        return next((t for t in record.trainings if t.score.kind == kind), None)

    return NetworkColumns(training).accuracy(kind, _SINGLE_SPLITS[kind])


def own_table(inputs: ReportInputs) -> Table:
    """Table 3b: our own recipe over repeated clean splits, and what it costs."""
    names = inputs.study.learners.best
    trainings = [training for name in names for training in inputs.own_trainings.get(name, [])]
    kinds = {training.score.kind for training in trainings}
    columns: Sequence[Column[TrainingRecord]] = [
        LEARNER_COLUMN,
        *mean_columns(_mean, lambda r: published.BEST_SINGLE_NETWORK, linked=False),
        *(_single_column(kind) for kind in _SINGLE_SPLITS if kind in kinds),
        OF_TRAINING.number("parameters", "Parameters", lambda t: t.n_parameters, thousands),
        OF_TRAINING.number(
            "operations", "Operations an image", lambda t: t.n_operations, operations_text
        ),
        replace(
            OF_TRAINING.number(
                "cost", "Training, × Mk-3’s", lambda t: relative_cost(inputs, t), ".2g"
            ),
            of_study=True,
        ),
    ]
    records = [
        training_record(
            name,
            inputs.own_trainings.get(name, []),
            inputs.reason_absent("training", part="a1", learner=name, recipe_name="best"),
        )
        for name in names
    ]
    return worded_table(
        "3b",
        columns,
        records,
        inputs=inputs,
        networks=trainings,
        best_of_study=published.BEST_SINGLE_NETWORK,
    )


def relative_cost(inputs: ReportInputs, training: Training) -> float:
    """A training's operations over those of the study's Mk-3 under augmentation.

    Mk-3's forward pass is that of the network we trained, if it has the study's size and number of
    classes, else counted from the study's table.
    """
    forward = float(published.TABLE_1["mk-3"].n_operations)
    for mk3 in inputs.trainings:
        same = (mk3.image_size, len(inputs.class_names)) == (
            published.IMAGE_SIZE,
            published.N_CLASSES,
        )
        if mk3.learner == "mk-3" and same:
            forward = mk3.n_operations
    return training.training_operations / (
        3 * forward * published.N_TRAINING_IMAGES * published.AUGMENTED_EPOCHS
    )


def operations_text(value: float) -> str:
    """A number of operations in words.

    >>> operations_text(2_741_000_000), operations_text(84_500_000)
    ('2.74 G', '84.5 M')
    """
    return f"{value / 1e9:.2f} G" if value >= 1e9 else f"{value / 1e6:.1f} M"


_SPLIT_COLUMNS: Sequence[Column[TrainingRecord]] = [
    text_column("split", "Split", lambda r: r.name),
    OF_TRAINING.accuracy("accuracy", "Validation accuracy"),
    OF_TRAINING.number("validation_loss", "Validation loss", lambda t: t.validation_loss),
    OF_TRAINING.number("train_accuracy", "Training accuracy", lambda t: t.train_accuracy),
    OF_TRAINING.number("n_train", "Training images", lambda t: t.score.n_train, "d", linked=False),
    OF_TRAINING.number(
        "n_validation", "Validation images", lambda t: t.score.n_validation, "d", linked=False
    ),
    *EPOCH_COLUMNS,
]


def own_splits_table(inputs: ReportInputs) -> Table:
    """Table 3c: our own recipe, split by split."""
    records = []
    for name in inputs.study.learners.best:
        trainings = inputs.own_trainings.get(name, [])
        group = learner_title(name)
        records += [training_record(t.score.split, [t], "", group=group) for t in trainings]
        if trainings:
            absences = inputs.absences("training", part="a1", learner=name, recipe_name="best")
            records += [training_record(a.split, [], a.reason, group=group) for a in absences]
    networks = [training for record in records for training in record.trainings]
    return worded_table("3c", _SPLIT_COLUMNS, records, networks=networks)


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
        score = replace(score, n_correct=int(correct.sum()), by_class=None)
        averages.append(SplitAverage(score, correct, best[split]))
    return averages


_COLUMNS: Sequence[Column[PairedRecord]] = [
    text_column("split", "Split", lambda r: r.title, lambda r: r.value),
    score_column("average", "Average", lambda r: r.first, linked=False),
    score_column("member", "Best network", lambda r: r.second),
    *comparison_columns(
        first=("only_average", "Average alone right"),
        second=("only_member", "Network alone right"),
        interval=True,
    ),
]


def averaged_table(inputs: ReportInputs) -> Table:
    """Table 3d: our own networks averaged, split by split; no rows for fewer than two."""
    averages = split_averages(inputs)
    comparisons = paired_comparisons(
        (average.correct, inputs.correct(average.best, average.score.split)) for average in averages
    )
    records = [
        PairedRecord(
            average.score.split,
            comparison=comparison,
            first=average.score,
            second=average.best.score,
            source=average.best.artifact.reference,
        )
        for average, comparison in zip(averages, comparisons, strict=True)
    ]
    return worded_table(
        "3d",
        _COLUMNS,
        with_mean(records),
        networks=[average.best for average in averages],
        names=[learner_title(name) for name in inputs.study.learners.best],
        best=learner_title(averages[0].best.learner) if averages else "",
        mean_verdict=mean_verdict,
    )
