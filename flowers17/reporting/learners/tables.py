"""Tables 1 to 3: networks trained from scratch, without and with augmentation."""

from collections.abc import Sequence

from flowers17.reporting import reference as published
from flowers17.reporting.columns import compared_columns, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.cells import (
    EPOCH_COLUMNS,
    LEARNER_COLUMN,
    OF_TRAINING,
    TrainingRecord,
    training_record,
)
from flowers17.reporting.learners.own_recipe import averaged_table, own_splits_table, own_table
from flowers17.reporting.networks import comparable
from flowers17.reporting.records import Training
from flowers17.reporting.reference import LearnerShape, Trained
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.titles import augmentation_title, learner_title
from flowers17.reporting.wording import thousands
from flowers17.reporting.words import worded_table

_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "tanh": "tanh"}


def learner_tables(inputs: ReportInputs) -> list[Table]:
    """Those of Tables 1, 2, 3 and 3b to 3d that something was trained, or failed, for."""
    if not inputs.trainings and not inputs.absent_from("a1"):
        return []
    tables = (
        shapes_table(inputs),
        plain_table(inputs),
        augmented_table(inputs),
        own_table(inputs),
        own_splits_table(inputs),
        averaged_table(inputs),
    )
    return [table for table in tables if table.records]


def _counts(network: LearnerShape | Training) -> tuple[int, ...]:
    """Numbers of parameters, convolutions, poolings and dense layers."""
    if isinstance(network, Training):
        return network.n_parameters, *network.layer_counts
    return network.n_parameters, network.n_convolutions, network.n_poolings, network.n_dense


def _count_columns(index: int, key: str, title: str) -> tuple[Column[TrainingRecord], ...]:
    return compared_columns(
        key,
        title,
        lambda r: (
            _counts(published.TABLE_1[r.name])[index] if r.name in published.TABLE_1 else None
        ),
        lambda r: _counts(training)[index] if (training := r.first()) else None,
        thousands,
    )


def shapes_table(inputs: ReportInputs) -> Table:
    """Table 1: layers and parameters of every learner asked for."""
    settings, trainings = inputs.study.learners, inputs.trainings
    styles = {name: (shape.padding, shape.activation) for name, shape in published.TABLE_1.items()}
    styles |= {d.name: (d.padding, _ACTIVATIONS[d.activation]) for d in settings.definitions}
    columns: Sequence[Column[TrainingRecord]] = [
        LEARNER_COLUMN,
        *_count_columns(0, "parameters", "Parameters"),
        *_count_columns(1, "convolutions", "Convolutions"),
        *_count_columns(2, "poolings", "Pooling"),
        *_count_columns(3, "dense", "Dense"),
        text_column("padding", "Padding", lambda r: styles.get(r.name, (None,))[0]),
        text_column("activation", "Activation", lambda r: styles.get(r.name, (None,))[-1]),
    ]
    records = [
        training_record(
            name,
            [training for training in trainings if training.learner == name],
            inputs.reason_absent("training", learner=name),
        )
        for name in dict.fromkeys([*settings.plain, *settings.augmented, *settings.best])
    ]
    return worded_table("1", columns, records, inputs=inputs)


def _reference(record: TrainingRecord) -> float | None:
    return record.study.validation_accuracy if record.study else None


def _compared(key: str, title: str) -> tuple[Column[TrainingRecord], ...]:
    """The study's number and ours of the same name."""
    return compared_columns(
        key, title, lambda r: getattr(r.study, key, None), lambda r: getattr(r.first(), key, None)
    )


def plain_table(inputs: ReportInputs) -> Table:
    """Table 2: the learners on plain data, at the epoch of the lowest validation loss."""
    names = inputs.study.learners.plain
    records = [_record(inputs, name, "none", name, published.TABLE_2.get(name)) for name in names]
    return _trainings_table(
        "2",
        inputs,
        [
            LEARNER_COLUMN,
            *OF_TRAINING.compared(inputs, _reference, "Validation accuracy"),
            *_compared("validation_loss", "Validation loss"),
            *_compared("train_accuracy", "Training accuracy"),
            *_compared("train_loss", "Training loss"),
            *EPOCH_COLUMNS,
        ],
        records,
    )


def augmented_table(inputs: ReportInputs) -> Table:
    """Table 3: learners without and with each augmentation."""
    settings, records = inputs.study.learners, []
    for learner in settings.augmented:
        study, group = published.TABLE_3.get(learner, {}), learner_title(learner)
        plain = ("none",) if learner in settings.plain else ()
        records += [
            _record(inputs, learner, name, name, study.get(name), group)
            for name in (*plain, *settings.augmentations)
        ]
    title: Column[TrainingRecord] = text_column(
        "augmentation", "Augmentation", lambda r: augmentation_title(r.name), lambda r: r.name
    )
    return _trainings_table(
        "3",
        inputs,
        [
            title,
            *OF_TRAINING.compared(inputs, _reference, "Validation accuracy"),
            *_compared("train_accuracy", "Training accuracy"),
            *EPOCH_COLUMNS,
        ],
        records,
    )


def _record(
    inputs: ReportInputs,
    learner: str,
    augmentation: str,
    name: str,
    study: Trained | None,
    group: str = "",
) -> TrainingRecord:
    training = inputs.training(learner, augmentation)
    trainings, tag = ([training], training.tag) if training else ([], "")
    identity = {"learner": learner, "augmentation": augmentation}
    reason = inputs.reason_absent("training", recipe_name="report", split="report", **identity)
    return training_record(name, trainings, reason, study, group=group, tag=tag)


def _trainings_table(
    name: str,
    inputs: ReportInputs,
    columns: Sequence[Column[TrainingRecord]],
    records: Sequence[TrainingRecord],
) -> Table:
    networks = [training for record in records for training in record.trainings]
    compared = any(comparable(inputs, network) for network in networks)
    return worded_table(name, columns, records, inputs=inputs, networks=networks, compared=compared)
