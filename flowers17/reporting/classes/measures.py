"""Measures beyond accuracy: scikit-learn's values, each with its 95 % interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from flowers17.data.balance import first_measure
from flowers17.reporting.metrics import (
    Interval,
    Measured,
    accuracy_interval,
    balanced_interval,
    effective_interval,
)


def class_scores(truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class, a row a class, in the order of the labels.

    truth, predicted: int (n,). Columns: `name`, `n_images`, `n_predicted`, `n_correct`, and, each
    Measured, or None where it is a share of nothing, `precision`, `recall` and `f1`.
    F1 is 2 J / (1 + J) of the share J of correct images among those of the class or taken for it,
    and its interval is that of Wilson's ends for J.
    Source: Lam, Gopal and Qian 2023, arXiv:2309.14621, "Wilson indirect".
    """
    labels = np.arange(len(names))
    counts = confusion_matrix(truth, predicted, labels=labels)
    scores = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    frame = pd.DataFrame({"name": names, "n_images": counts.sum(axis=1)})
    frame["n_predicted"], frame["n_correct"] = counts.sum(axis=0), counts.diagonal()
    totals = {"precision": frame.n_predicted, "recall": frame.n_images}
    totals["f1"] = frame.n_predicted + frame.n_images - frame.n_correct
    for (name, total), values in zip(totals.items(), scores[:3], strict=True):
        measured: list[Measured | None] = []
        for value, n_correct, n in zip(values.tolist(), frame.n_correct, total, strict=True):
            interval = accuracy_interval(n_correct, n) if n else None
            if interval and name == "f1":
                interval = Interval(*(2 * end / (1 + end) for end in interval))
            measured.append(Measured(value, interval) if interval else None)
        frame[name] = pd.Series(measured, dtype=object)
    return frame


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """The mean recall of the classes that have images."""
    counts = confusion_matrix(truth, predicted)
    by_class = np.column_stack([counts.diagonal(), counts.sum(axis=1)]).tolist()
    return Measured(first_measure(0, 1, by_class), balanced_interval(by_class))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """The mean F1 of the classes that have images or are predicted.

    Its variance is that of the images' influence on it (the delta method); the interval is Wilson's
    of the effective number of images, where all are right that of equally large classes.
    Source: Takahashi et al. 2022, Applied Intelligence 52:4961.
    """
    value = float(f1_score(truth, predicted, average="macro", zero_division=0))
    counts = confusion_matrix(truth, predicted)
    sums = counts.sum(axis=1) + counts.sum(axis=0)
    f1 = 2 * counts.diagonal() / sums
    influence = np.diag(2 / sums) - (f1 / sums)[:, None] - f1 / sums
    variance = float((counts * influence**2).sum()) / len(sums) ** 2
    sizes = np.unique(truth, return_counts=True)[1]
    return Measured(value, effective_interval(value, variance, len(sizes) ** 2 / (1 / sizes).sum()))


def top_k(truth: np.ndarray, proba: np.ndarray, k: int) -> Measured:
    """The share of images whose class is among the k most probable. proba: (n, n_classes)."""
    labels = np.arange(proba.shape[1])
    n_correct = int(top_k_accuracy_score(truth, proba, k=k, labels=labels, normalize=False))
    return Measured(n_correct / len(truth), accuracy_interval(n_correct, len(truth)))


def area_under_roc(is_positive: np.ndarray, proba: np.ndarray) -> Measured | None:
    """The area under the ROC curve; None unless some images are positive and some are not.

    proba: of the positive class, (n,). Source of the variance: Hanley and McNeil 1982, Radiology
    143:29.
    """
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not n_positive or not n_negative:
        return None
    area = float(roc_auc_score(is_positive, proba))
    above, below = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    variance = area * (1 - area) + (n_positive - 1) * above + (n_negative - 1) * below
    variance /= n_positive * n_negative
    return Measured(area, effective_interval(area, variance, min(n_positive, n_negative)))


def average_precision(is_positive: np.ndarray, proba: np.ndarray) -> Measured:
    """The area under the precision-recall curve, of at least one positive image.

    Its interval is that of a share of the positive images.
    Source: Boyd, Eng and Page 2013, LNCS 8190:451.
    """
    area = float(average_precision_score(is_positive, proba))
    return Measured(area, effective_interval(area, 0.0, int(is_positive.sum())))


def threshold_for(
    is_positive: np.ndarray, proba: np.ndarray, *, recall: float = 0.0, precision: float = 0.0
) -> float | None:
    """The probability from which on an image counts as positive; None if none reaches the goal.

    For a recall, the threshold of the highest precision; for a precision, of the highest recall.
    """
    if not is_positive.any():
        return None
    precisions, recalls, thresholds = precision_recall_curve(is_positive, proba)
    reached = (recalls[:-1] >= recall) & (precisions[:-1] >= precision)
    gain = np.where(reached, precisions[:-1] if recall else recalls[:-1], -1.0)
    return float(thresholds[gain.argmax()]) if reached.any() else None
