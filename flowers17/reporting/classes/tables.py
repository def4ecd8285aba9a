"""How good the best model of a part is: in several measures, class by class, by threshold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import precision_score, recall_score

from flowers17.data.balance import MAX_RATIO
from flowers17.reporting.classes.measures import (
    area_under_roc,
    balanced_accuracy,
    class_scores,
    macro_f1,
    threshold_for,
    top_k,
)
from flowers17.reporting.classes.models import BestModel, best_model
from flowers17.reporting.columns import measured_column, number_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.reference import PartName
from flowers17.reporting.tables import Column, Record, Table

K = 5
MANY_CLASSES = 10  # beyond which the share among the `K` most probable is of interest
_BALANCE_NOTE = (
    f"The largest class has more than {MAX_RATIO:g} times the images of the smallest: balanced "
    "accuracy chooses what is best, and stands first at the top, in Table 10 and in tables of "
    "measures."
)

# Parts of splits on which the largest class is counted; below Tables T1 and T2 others.
_ON_SPLITS = (("report", "validation", "report’s split"), ("clean", "validation", "clean split"))
_BASELINES: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "T1": (("report", "test", "test part"),),
    "T2": (("official", "test", "test images of the first official split"),),
}


def class_tables(inputs: ReportInputs, part: PartName) -> list[Table]:
    """Tables N-measures, N-classes and N-thresholds of a part's best model, those with rows."""
    model = best_model(inputs, part)
    tables = (measures_table, classes_table, thresholds_table) if model else ()
    return [built for table in tables if model and (built := table(model)).records]


def with_baseline(inputs: ReportInputs, table: Table) -> Table:
    """A table with accuracies and, in a note, what naming the largest class reaches."""
    first = {split["kind"]: split["name"] for split in reversed(inputs.divided)}
    shares = [
        f"{inputs.majority(first[kind], part):.3f} on the {title}"
        for kind, part, title in _BASELINES.get(table.number, _ON_SPLITS)
        if kind in first
    ]
    if not shares or not any(column.interval for column in table.columns):
        return table
    note = f"Naming the largest class for every image is right for {' and '.join(shares)}."
    notes = [*table.notes, note, *([] if inputs.is_balanced else [_BALANCE_NOTE])]
    return replace(table, notes=tuple(notes))


@dataclass(frozen=True)
class MeasureRecord(Record):
    """A measure of a model; None where it is not defined."""

    name: str
    measured: Measured | None


def measures_table(model: BestModel) -> Table:
    """Table of a model's accuracy beside other measures; the one that stands first at the top."""
    inputs, truth, predicted, score = model.inputs, model.truth, model.predicted, model.score
    n_classes, n = len(inputs.class_names), len(truth)
    n_majority = round(inputs.majority(score.split) * n)
    measures = [
        ("accuracy", Measured(score.accuracy, score.interval)),
        ("accuracy of the largest class alone", _share(n_majority, n)),
        ("balanced accuracy", balanced_accuracy(truth, predicted)),
        ("macro-F1", macro_f1(truth, predicted)),
    ]
    if not inputs.is_balanced:
        measures = [*measures[2:], *measures[:2]]
    if n_classes > MANY_CLASSES:
        measures.append((f"among the {K} most probable", top_k(truth, model.proba, K)))
    if n_classes == 2:
        measures.append(("area under the ROC curve", area_under_roc(truth == 1, model.proba[:, 1])))
    return Table(
        f"{model.number}-measures",
        "The best model in several measures",
        (
            text_column("measure", "Measure", lambda r: r.name),
            measured_column("value", "Value", lambda r: r.measured),
        ),
        [MeasureRecord(name, value, source=model.best.source) for name, value in measures],
        lead=f"{model.title}, {n:,} images.",
        notes=(
            "Balanced accuracy and macro-F1: the means over classes of recall and of F1. Naming "
            f"one class for every image has a balanced accuracy of {1 / n_classes:.3f}.",
        ),
    )


def _share(n_correct: int, n: int) -> Measured | None:
    return Measured(n_correct / n, accuracy_interval(n_correct, n)) if n else None


@dataclass(frozen=True, eq=False)
class ClassRecord(Record):
    """A class: its row of `measures.class_scores`."""

    scores: Any


_CLASS_COLUMNS: Sequence[Column[ClassRecord]] = (
    text_column("class", "Class", lambda r: str(r.scores.name)),
    number_column("n", "Images", lambda r: r.scores.n_images, "d", linked=False),
    number_column("n_predicted", "Taken for it", lambda r: r.scores.n_predicted, "d", linked=False),
    measured_column("precision", "Precision", lambda r: r.scores.precision),
    measured_column("recall", "Recall", lambda r: r.scores.recall),
    measured_column("f1", "F1", lambda r: r.scores.f1),
)


def classes_table(model: BestModel) -> Table:
    """Table of how good a model is, class by class."""
    scores = class_scores(model.truth, model.predicted, model.inputs.class_names)
    return Table(
        f"{model.number}-classes",
        "How good the best model is, class by class",
        _CLASS_COLUMNS,
        [ClassRecord(row, source=model.best.source) for row in scores.itertuples(index=False)],
        lead=f"{model.title}, with 95 % intervals.",
        notes=(
            "Precision: the share that is right of the images taken for a class. Recall: the share "
            "of a class’s images that is recognised. F1: their harmonic mean. A dash: there is no "
            "image that it could be a share of.",
        ),
    )


@dataclass(frozen=True)
class ThresholdRecord(Record):
    """A threshold of a class, chosen on training images out of fold; None if none reaches the goal.

    fold_recall, fold_precision: on these; recall, precision: on held-out images.
    """

    positive: str
    goal: str
    threshold: float | None
    fold_recall: float | None = None
    fold_precision: float | None = None
    recall: Measured | None = None
    precision: Measured | None = None


_FOLDS, _HELD_OUT = "Training images, out of fold", "Held-out images"
_THRESHOLD_COLUMNS: Sequence[Column[ThresholdRecord]] = (
    text_column("class", "Class", lambda r: r.positive),
    text_column("goal", "Goal", lambda r: r.goal),
    number_column("threshold", "Threshold", lambda r: r.threshold),
    number_column("fold_recall", "recall", lambda r: r.fold_recall, group=_FOLDS),
    number_column("fold_precision", "precision", lambda r: r.fold_precision, group=_FOLDS),
    measured_column("recall", "recall", lambda r: r.recall, group=_HELD_OUT),
    measured_column("precision", "precision", lambda r: r.precision, group=_HELD_OUT),
)


def thresholds_table(model: BestModel) -> Table:
    """Table of a model's thresholds for a stated recall or precision, of two classes."""
    return Table(
        f"{model.number}-thresholds",
        "From which probability on an image counts as one of a class",
        _THRESHOLD_COLUMNS,
        list(_threshold_records(model)) if len(model.inputs.class_names) == 2 else (),
        lead=f"{model.title}. No held-out image chooses a threshold.",
        notes=(
            "The goals are the settings report.recall and report.precision. Of the thresholds that "
            "reach a recall, the one of the highest precision is chosen; of those that reach a "
            "precision, the one of the highest recall. On other images it may miss the goal.",
        ),
    )


def _threshold_records(model: BestModel) -> Iterator[ThresholdRecord]:
    settings, names = model.inputs.study.report, model.inputs.class_names
    if model.out_of_fold is None:
        return
    truth, source = model.inputs.labels[model.train], model.best.source
    for label, name in enumerate(names):
        is_positive, proba = truth == label, model.out_of_fold[:, label]
        for measure, goal in (("recall", settings.recall), ("precision", settings.precision)):
            threshold = threshold_for(is_positive, proba, **{measure: goal})
            record = ThresholdRecord(name, f"{measure} ≥ {goal:g}", threshold, source=source)
            if threshold is not None:
                in_folds, beyond = proba >= threshold, model.proba[:, label] >= threshold
                held_out = model.truth == label
                n_correct = int(np.sum(beyond & held_out))
                record = replace(
                    record,
                    fold_recall=float(recall_score(is_positive, in_folds)),
                    fold_precision=float(precision_score(is_positive, in_folds)),
                    recall=_share(n_correct, int(held_out.sum())),
                    precision=_share(n_correct, int(beyond.sum())),
                )
            yield record
