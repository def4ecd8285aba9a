"""Tables 1 to 3: networks trained from scratch, without and with augmentation."""

from collections.abc import Sequence
from typing import Any

from flowers17.reporting import reference as published
from flowers17.reporting.cells import Cell, compared_values
from flowers17.reporting.columns import Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.own_recipe import (
    averaged_table,
    own_splits_table,
    own_table,
    training_record,
)
from flowers17.reporting.records import Training
from flowers17.reporting.reference import LearnerShape, Trained
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import augmentation_title, learner_title
from flowers17.reporting.words import worded_table

_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "tanh": "tanh"}
_COUNTS = ("parameters", "convolutions", "poolings", "dense")


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


def _counts(network: LearnerShape | Training, prefix: str = "") -> dict[str, int]:
    """Numbers of parameters, convolutions, poolings and dense layers, by column."""
    if isinstance(network, Training):
        counts: Sequence[int] = network.layer_counts
    else:
        counts = network.n_convolutions, network.n_poolings, network.n_dense
    keys = (prefix + name for name in _COUNTS)
    return dict(zip(keys, (network.n_parameters, *counts), strict=True))


def shapes_table(inputs: ReportInputs) -> Table:
    """Table 1: layers and parameters of every learner asked for."""
    settings, records = inputs.study.learners, []
    styles = {name: (shape.padding, shape.activation) for name, shape in published.TABLE_1.items()}
    styles |= {d.name: (d.padding, _ACTIVATIONS[d.activation]) for d in settings.definitions}
    for name in dict.fromkeys([*settings.plain, *settings.augmented, *settings.best]):
        training = next((t for t in inputs.trainings if t.learner == name), None)
        study, style = published.TABLE_1.get(name), styles.get(name, (None, None))
        values: dict[str, Any] = dict(zip(("padding", "activation"), style, strict=True))
        values["learner"] = Cell(learner_title(name), name)
        values |= _counts(study, "study_") if study else {}
        values |= _counts(training) if training else {}
        reason = inputs.reason_absent("training", learner=name)
        records.append(training_record(values, training, reason))
    return worded_table("1", records, inputs=inputs)


def plain_table(inputs: ReportInputs) -> Table:
    """Table 2: the learners on plain data, at the epoch of the lowest validation loss."""
    names = inputs.study.learners.plain
    rows = [_compared(inputs, name, "none", published.TABLE_2.get(name)) for name in names]
    return _trainings_table("2", inputs, rows)


def augmented_table(inputs: ReportInputs) -> Table:
    """Table 3: learners without and with each augmentation."""
    settings, rows = inputs.study.learners, []
    for learner in settings.augmented:
        study, group = published.TABLE_3.get(learner, {}), learner_title(learner)
        plain = ("none",) if learner in settings.plain else ()
        rows += [
            _compared(inputs, learner, name, study.get(name), group)
            for name in (*plain, *settings.augmentations)
        ]
    return _trainings_table("3", inputs, rows)


_Row = tuple[Training | None, Record]


def _compared(
    inputs: ReportInputs, learner: str, augmentation: str, study: Trained | None, group: str = ""
) -> _Row:
    """A training by the study's recipe, if there is one, and its row beside the study's."""
    training = inputs.training(learner, augmentation)
    reference = study.validation_accuracy if study else None
    values = {
        "learner": Cell(learner_title(learner), learner),
        "augmentation": Cell(augmentation_title(augmentation), augmentation),
        **compared_values(training, reference, inputs.network_comparable(training)),
    }
    for name in ("validation_loss", "train_accuracy", "train_loss"):
        values[f"study_{name}"] = getattr(study, name, None)
        values[name] = getattr(training, name, None)
    identity = {"learner": learner, "augmentation": augmentation}
    reason = inputs.reason_absent("training", recipe_name="report", split="report", **identity)
    tag = training.tag if training else ""
    return training, training_record(values, training, reason, group, tag)


def _trainings_table(name: str, inputs: ReportInputs, rows: Sequence[_Row]) -> Table:
    networks = [training for training, _ in rows if training]
    compared = any(map(inputs.network_comparable, networks))
    records = [record for _, record in rows]
    return worded_table(name, records, inputs=inputs, networks=networks, compared=compared)
