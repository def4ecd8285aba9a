"""Classifiers on features: fitted on every split's training part, evaluated on its validation part.

SVM, logistic regression and neighbours read row-space coordinates (see `rowspace`) and predict
what scikit-learn predicts on the normalised columns. Naive Bayes and the random forest read the
columns. Logistic regression stops at a tolerance on its gradient, which fixes its probabilities to
about 1e-3; nothing else is approximate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowers17.config import ClassifierSettings
from flowers17.errors import InvalidInput
from flowers17.seeds import derived_seed
from flowers17.transfer.cross_validation import (
    SplitLike,
    best_variant,
    out_of_fold,
    search_folds,
)
from flowers17.transfer.families import FAMILIES, ClassWeight, Rows, Task
from flowers17.transfer.input_forms import input_form
from flowers17.transfer.rowspace import check_features, one_thread, principal_components


@dataclass(frozen=True)
class SplitResult:
    """Predictions of a classifier for one split's validation images, in the split's order.

    predicted: int64 (n_validation,); proba: float64 (n_validation, n_classes), rows sum to one
    and are largest at `predicted`. chosen: the hyper-parameters of the fit. out_of_fold: for two
    classes, probabilities of the training images, float64 (n_train, 2), each by a fit on the other
    folds; None on repeated splits, and where folds cannot be made.
    """

    name: str
    kind: str
    n_train: int
    predicted: np.ndarray
    proba: np.ndarray
    n_correct: int
    accuracy: float
    chosen: dict[str, Any]
    out_of_fold: np.ndarray | None = None


def evaluate(
    classifier: str,
    settings: ClassifierSettings,
    *,
    features: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    labels: np.ndarray,
    splits: Sequence[SplitLike],
    seed: int,
    n_components: int | None = None,
    search: bool = False,
    class_weight: ClassWeight = None,
    groups: np.ndarray | None = None,
    n_jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> list[SplitResult]:
    """Predictions of a classifier on every split, each fitted on its own training part.

    features: float32 (n, d), normalised columns; rows: float64 (n, r), row-space coordinates;
    only the `input_form` of the classifier is read, or `rows` if `n_components` is given: principal
    components fitted on the training rows alone. labels: int (n,), 0..n_classes-1.
    class_weight: `balanced` lets every class count alike in the fit; None: every image.
    search: choose hyper-parameters by stratified cross-validation within the training rows.
    groups: int (n,), equal for near-duplicates, which a search's folds keep together; None: every
    image is its own group.
    n_jobs: threads of the random forest, -1 for all cores; never changes a result.
    progress: called with the splits done and the number of splits.
    Raises InvalidInput if arrays do not belong together, hold NaN, or a split lacks a class.
    """
    form = "rows" if n_components is not None else input_form(classifier)
    family = FAMILIES[classifier]
    matrix = rows if form == "rows" else features
    if matrix is None:
        raise InvalidInput(f"{classifier}: expected `{form}`, got None; pass the array")
    n_classes = _check(matrix, form, labels, splits)
    if groups is None:
        groups = np.arange(len(labels))
    if groups.shape != labels.shape:
        raise InvalidInput(f"groups: expected one for each label, got {groups.shape}")
    own_settings = getattr(settings, classifier)
    all_rows = Rows(matrix)

    def rows_for(train: np.ndarray) -> Rows:
        if n_components is None:
            return all_rows
        return Rows(principal_components(matrix, train, n_components))

    results = []
    with one_thread():
        for split in splits:
            role = ("classifier", classifier, split.name)
            hyperparameters = own_settings
            if search:
                own_seed = derived_seed(seed, *role)
                folds = search_folds(labels, groups, split, derived_seed(own_seed, "folds"))
                hyperparameters = best_variant(
                    family, own_settings, rows_for, labels, folds, own_seed, n_jobs, class_weight
                )
            task = Task(
                rows=rows_for(split.train),
                labels=labels,
                train=split.train,
                evaluated=split.validation,
                seed=derived_seed(seed, *role, "fit"),
                n_jobs=n_jobs,
                class_weight=class_weight,
            )
            proba = family.probas([hyperparameters], task)[0]
            result = _result(split, labels, proba, n_classes, hyperparameters)
            if n_classes == 2 and split.kind != "repeated":
                task = replace(task, seed=derived_seed(seed, *role, "folds"))
                training_proba = out_of_fold(family, hyperparameters, rows_for, groups, split, task)
                result = replace(result, out_of_fold=training_proba)
            results.append(result)
            if progress is not None:
                progress(len(results), len(splits))
    return results


def fitted_proba(classifier: str, settings: ClassifierSettings, task: Task) -> np.ndarray:
    """Class probabilities of every image from a fit on `task.train`: float64 (n, n_classes).

    task: of `fitting_task`. The rows of `task.train` are in-sample predictions.
    """
    with one_thread():
        proba = FAMILIES[classifier].probas([getattr(settings, classifier)], task)[0]
    return _checked_proba(classifier, proba, (len(task.labels), int(task.labels.max()) + 1))


def fitting_task(
    classifier: str,
    *,
    features: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    labels: np.ndarray,
    split: SplitLike,
    seed: int,
    class_weight: ClassWeight = None,
    n_jobs: int = -1,
) -> Task:
    """Task of a fit on a split's training part, evaluated on every image.

    Arguments and errors are those of `evaluate`.
    """
    form = input_form(classifier)
    matrix = rows if form == "rows" else features
    if matrix is None:
        raise InvalidInput(f"{classifier}: expected `{form}`, got None; pass the array")
    _check(matrix, form, labels, [split])
    return Task(
        rows=Rows(matrix),
        labels=labels,
        train=split.train,
        evaluated=np.arange(len(labels)),
        seed=derived_seed(seed, "classifier", classifier, split.name, "fit"),
        n_jobs=n_jobs,
        class_weight=class_weight,
    )


def _check(matrix: np.ndarray, form: str, labels: np.ndarray, splits: Sequence[SplitLike]) -> int:
    """Number of classes; raises InvalidInput if arrays and splits do not belong together."""
    check_features(matrix, form)
    if labels.shape != (len(matrix),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InvalidInput(
            f"labels: expected {len(matrix)} integers from 0, one for each of the {form}, got "
            f"{labels.dtype} {labels.shape}"
        )
    n_classes = int(labels.max()) + 1
    if n_classes < 2:
        raise InvalidInput("labels: expected at least two classes, got one")
    for split in splits:
        for part in ("train", "validation"):
            indices = np.asarray(getattr(split, part))
            if not indices.size or indices.min() < 0 or indices.max() >= len(labels):
                raise InvalidInput(
                    f"split {split.name}, {part}: expected rows in 0..{len(labels) - 1}, got "
                    f"{f'{indices.min()}..{indices.max()}' if indices.size else 'none'}; "
                    "make the splits again from the same images"
                )
        if np.intersect1d(split.train, split.validation).size:
            raise InvalidInput(f"split {split.name}: the same rows train and validate")
        absent = np.setdiff1d(np.arange(n_classes), labels[split.train])
        if absent.size:
            raise InvalidInput(
                f"split {split.name}: expected every class among the training rows, got none of "
                f"class {', '.join(map(str, absent))}; add images or leave the class out"
            )
    return n_classes


def _result(
    split: SplitLike, labels: np.ndarray, proba: np.ndarray, n_classes: int, hyperparameters: Any
) -> SplitResult:
    proba = _checked_proba(f"split {split.name}", proba, (len(split.validation), n_classes))
    predicted = proba.argmax(axis=1).astype(np.int64)
    n_correct = int(np.count_nonzero(predicted == labels[split.validation]))
    return SplitResult(
        name=split.name,
        kind=split.kind,
        n_train=len(split.train),
        predicted=predicted,
        proba=proba,
        n_correct=n_correct,
        accuracy=n_correct / len(predicted),
        chosen={
            key: value
            for key, value in hyperparameters.model_dump().items()
            if not key.startswith("search_")
        },
    )


def _checked_proba(subject: str, proba: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if proba.shape != shape or not np.isfinite(proba).all():
        raise InvalidInput(
            f"{subject}: expected finite probabilities of {shape[1]} classes, got "
            f"{proba.shape} with NaN; look at the features"
        )
    return proba.astype(np.float64, copy=False)
