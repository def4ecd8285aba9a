"""The best model of a part: in several measures, class by class, and by threshold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import precision_score, recall_score

from flowers17.artifacts import Artifact
from flowers17.data.balance import MAX_RATIO
from flowers17.reporting.best import (
    Best,
    BestOfPart,
    best_classifiers,
    best_ensembles,
    best_fine_tuned,
    best_networks,
    split_text,
)
from flowers17.reporting.classes.measures import (
    area_under_roc,
    balanced_accuracy,
    class_scores,
    macro_f1,
    threshold_for,
    top_k,
)
from flowers17.reporting.columns import Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.records import Score
from flowers17.reporting.reference import PartName
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import capital
from flowers17.reporting.words import notes_of, worded_table

# With which number a part's tables begin, and what is best of it.
_PARTS: Mapping[PartName, tuple[str, Callable[[ReportInputs], BestOfPart]]] = {
    "a1": ("3", best_networks),
    "a2": ("5", best_ensembles),
    "b1": ("8", best_classifiers),
    "b2": ("9", best_fine_tuned),
}


@dataclass(frozen=True, eq=False)
class BestModel:
    """The best model of a part on one split: a classifier on the clean one, others on their first.

    rows, predicted: int64 (n,), of the images held out; proba: (n, n_classes). train: rows of the
    training images; out_of_fold: their probabilities, each by a fit without it, None if not known.
    """

    inputs: ReportInputs
    number: str
    best: Best
    score: Score
    rows: np.ndarray
    predicted: np.ndarray
    proba: np.ndarray
    train: np.ndarray
    out_of_fold: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """Labels of the images."""
        return self.inputs.labels[self.rows]

    @property
    def title(self) -> str:
        """Its name, its tag and the split."""
        tag = f" ({self.best.tag})" if self.best.tag else ""
        return f"{capital(self.best.title)}{tag}, on the {split_text(self.score)}"


def best_model(inputs: ReportInputs, part: PartName) -> BestModel | None:
    """The best model of a part: see `reporting.best`; None without any."""
    if part not in _PARTS or not inputs.images or not inputs.splits:
        return None
    number, best_of_part = _PARTS[part]
    best = best_of_part(inputs).overall
    if not best:
        return None
    folds = None
    if best.source.stage == "classifier":
        run = next(e for e in inputs.evaluations if e.artifact.reference == best.source)
        score = run.score("clean") or run.scores[0]
        answers = run.predicted(score.split), run.proba(score.split)
        folds = _array(run.artifact, f"{score.split}-out-of-fold")
    elif best.source.stage == "stacking":
        result = next(r for r in inputs.ensemble_results if r.reference == best.source)
        score, (method, by) = result.chosen_score, result.chosen
        answers = result.predicted(method, by), result.proba(method, by)
        folds = _array(result.stacked, f"{method}-out-of-fold")
    else:
        networks = [*inputs.trainings, *inputs.fine_tunings]
        network = next(n for n in networks if n.artifact.reference == best.source)
        score, proba = network.score, network.artifact.mapped("proba")
        answers = network.predicted(score.split), proba[inputs.rows(score.split)]
    rows, train = (inputs.rows(score.split, part) for part in ("validation", "train"))
    if best.source.stage == "stacking":
        train = np.flatnonzero(result.folds.array("folds") >= 0)
    return BestModel(inputs, number, best, score, rows, *answers, train, folds)


def _array(artifact: Artifact | None, name: str) -> np.ndarray | None:
    """An array of an artifact; None if it has none of the name."""
    has_array = artifact and f"{name}.npy" in artifact.manifest["files"]
    return artifact.array(name) if artifact and has_array else None


K = 5
MANY_CLASSES = 10  # beyond which the share among the `K` most probable is of interest

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
    notes = notes_of("baseline", inputs=inputs, shares=shares, max_ratio=MAX_RATIO)
    return replace(table, notes=(*table.notes, *notes))


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
    return worded_table(
        "measures",
        [
            Record({"measure": name, "value": value}, source=model.best.source)
            for name, value in measures
        ],
        number=f"{model.number}-measures",
        model=model,
        n=n,
        n_classes=n_classes,
    )


def _share(n_correct: int, n: int) -> Measured | None:
    return Measured(n_correct / n, accuracy_interval(n_correct, n)) if n else None


def classes_table(model: BestModel) -> Table:
    """Table of how good a model is, class by class."""
    scores = class_scores(model.truth, model.predicted, model.inputs.class_names)
    rows: Sequence[Any] = list(scores.itertuples(index=False))
    return worded_table(
        "classes",
        [
            Record(
                {"class": row.name, "n": row.n_images, **row._asdict()}, source=model.best.source
            )
            for row in rows
        ],
        number=f"{model.number}-classes",
        model=model,
    )


def thresholds_table(model: BestModel) -> Table:
    """Table of a model's thresholds for a stated recall or precision, of two classes."""
    return worded_table(
        "thresholds",
        list(_threshold_records(model)) if len(model.inputs.class_names) == 2 else (),
        number=f"{model.number}-thresholds",
        model=model,
    )


def _threshold_records(model: BestModel) -> Iterator[Record]:
    """Yield each threshold, chosen on training images out of fold: how it does there and beyond."""
    settings, names = model.inputs.study.report, model.inputs.class_names
    if model.out_of_fold is None:
        return
    truth = model.inputs.labels[model.train]
    for label, name in enumerate(names):
        is_positive, proba = truth == label, model.out_of_fold[:, label]
        for measure, goal in (("recall", settings.recall), ("precision", settings.precision)):
            threshold = threshold_for(is_positive, proba, **{measure: goal})
            values: dict[str, Any] = {"class": name, "threshold": threshold}
            values["goal"] = f"{measure} ≥ {goal:g}"
            if threshold is not None:
                in_folds, beyond = proba >= threshold, model.proba[:, label] >= threshold
                held_out = model.truth == label
                n_correct = int(np.sum(beyond & held_out))
                values |= {
                    "fold_recall": float(recall_score(is_positive, in_folds)),
                    "fold_precision": float(precision_score(is_positive, in_folds)),
                    "recall": _share(n_correct, int(held_out.sum())),
                    "precision": _share(n_correct, int(beyond.sum())),
                }
            yield Record(values, source=model.best.source)
