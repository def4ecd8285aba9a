"""Tables 3b to 3d: our own recipe for training from scratch, its cost, its networks averaged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flowers17.ensemble.predictions import averaged
from flowers17.reporting import reference as published
from flowers17.reporting.cells import Cell, mean_values, network_cell
from flowers17.reporting.columns import Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    comparison_values,
    mean_verdict,
    paired_comparisons,
    with_mean,
)
from flowers17.reporting.records import Score, Training, over_repeats
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import learner_title
from flowers17.reporting.words import worded_table


def training_record(
    values: Mapping[str, Any],
    training: Training | None,
    reason: str,
    group: str = "",
    tag: str = "",
) -> Record:
    """A row on a training and its epochs, or on the reason why there is none."""
    if not training:
        return Record(values, group=group, tag=tag, missing=reason)
    epochs = {"best_epoch": training.best_epoch, "epochs": training.epochs}
    source = training.artifact.reference
    return Record({**values, **epochs}, group=group, tag=tag, source=source)


def own_table(inputs: ReportInputs) -> Table:
    """Table 3b: our own recipe over repeated clean splits, and what it costs."""
    records, networks = [], []
    for name in inputs.study.learners.best:
        trainings = inputs.own_trainings.get(name, [])
        values: dict[str, Any] = {
            "learner": Cell(learner_title(name), name),
            **mean_values(over_repeats(training.score for training in trainings)),
            "study": published.BEST_SINGLE_NETWORK,
        }
        # The first split of a kind stands for it.
        values |= {t.score.kind: network_cell(t) for t in reversed(trainings)}
        first = trainings[0] if trainings else None
        if first:
            n, source = first.n_operations, first.artifact.reference
            values["parameters"] = first.n_parameters
            values["operations"] = Cell(operations_text(n), n, artifact=source)
            values["cost"] = relative_cost(inputs, first)
        reason = inputs.reason_absent("training", part="a1", learner=name, recipe_name="best")
        records.append(training_record(values, first, reason))
        networks += trainings
    return worded_table(
        "3b",
        records,
        inputs=inputs,
        networks=networks,
        best_of_study=published.BEST_SINGLE_NETWORK,
    )


def relative_cost(inputs: ReportInputs, training: Training) -> float:
    """A training's operations over those of the study's Mk-3 under augmentation.

    Mk-3's forward pass is that of the network we trained, if it has the study's size and number of
    classes, else counted from the study's table.
    """
    forward = float(published.TABLE_1["mk-3"].n_operations)
    sizes = published.IMAGE_SIZE, published.N_CLASSES
    for mk3 in inputs.trainings:
        if mk3.learner == "mk-3" and (mk3.image_size, len(inputs.class_names)) == sizes:
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


def own_splits_table(inputs: ReportInputs) -> Table:
    """Table 3c: our own recipe, split by split."""
    records, networks = [], []
    for name in inputs.study.learners.best:
        trainings = inputs.own_trainings.get(name, [])
        networks += trainings
        group = learner_title(name)
        for training in trainings:
            score = training.score
            values = {
                "split": score.split,
                "accuracy": score,
                "validation_loss": training.validation_loss,
                "train_accuracy": training.train_accuracy,
                "n_train": score.n_train,
                "n_validation": score.n_validation,
            }
            records.append(training_record(values, training, "", group))
        if trainings:
            absences = inputs.absences("training", part="a1", learner=name, recipe_name="best")
            records += [Record({"split": a.split}, group=group, missing=a.reason) for a in absences]
    return worded_table("3c", records, networks=networks)


def split_averages(inputs: ReportInputs) -> list[tuple[Score, np.ndarray, Training]]:
    """The average of all our own networks on each split that all were trained on.

    Its score, which validation images it classifies correctly, bool (n_validation,), and the best:
    the network with the highest mean accuracy over these splits. Empty for fewer than two networks.
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
        rows, score = inputs.rows(split), best[split].score
        members = [network[split].artifact.array("proba")[rows] for network in networks]
        correct = averaged(np.stack(members)).argmax(axis=1) == inputs.labels[rows]
        score = replace(score, n_correct=int(correct.sum()), by_class=None)
        averages.append((score, correct, best[split]))
    return averages


def averaged_table(inputs: ReportInputs) -> Table:
    """Table 3d: our own networks averaged, split by split; no rows for fewer than two."""
    averages = split_averages(inputs)
    comparisons = paired_comparisons(
        (correct, inputs.correct(best, score.split)) for score, correct, best in averages
    )
    records = []
    for (score, _, best), comparison in zip(averages, comparisons, strict=True):
        values = {"split": score.split, "average": score, "member": best.score}
        values |= comparison_values(comparison, "only_average", "only_member")
        records.append(Record(values, source=best.artifact.reference))
    records, mean = with_mean(records, comparisons, "average", "member")
    return worded_table(
        "3d",
        records,
        networks=[best for _, _, best in averages],
        names=[learner_title(name) for name in inputs.study.learners.best],
        best=learner_title(averages[0][2].learner) if averages else "",
        comparisons=comparisons,
        mean=mean,
        mean_verdict=mean_verdict,
        first_split=averages[0][0].split if averages else "",
    )
