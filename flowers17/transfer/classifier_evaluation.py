"""Classifiers on features: fitted on every split's training part, evaluated on its validation part.

SVM, logistic regression and neighbours read row-space coordinates (see `rowspace`) and predict
what scikit-learn predicts on the normalised columns. Naive Bayes and the random forest read the
columns. Logistic regression stops at a tolerance on its gradient, which fixes its probabilities to
about 1e-3; nothing else is approximate. Threads fit splits, or a search's folds, side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import cpu_count
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from flowers17.config import COLUMN_CLASSIFIERS, ClassifierSettings
from flowers17.data.balance import is_balanced
from flowers17.data.splits import Split
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.seeds import derived_seed
from flowers17.transfer.classifiers import FAMILIES, ClassWeight, Family, Rows, Task
from flowers17.transfer.rowspace import check_features, in_threads, one_thread, principal_axes

MAX_FOLDS = 5


@dataclass(frozen=True)
class SplitResult:
    """Predictions of a classifier for one split's validation images, in the split's order.

    predicted: int64 (n_validation,); proba: float64 (n_validation, n_classes), rows sum to one
    and are largest at `predicted`. test_proba: of the same fit, float64 (n_test, n_classes).
    chosen: the hyper-parameters of the fit. out_of_fold: for two classes, probabilities of the
    training images, float64 (n_train, 2), each by a fit on the other folds; None on repeated
    splits, and where folds cannot be made.
    """

    name: str
    kind: str
    predicted: np.ndarray
    proba: np.ndarray
    n_correct: int
    accuracy: float
    test_proba: np.ndarray
    chosen: dict[str, Any]
    out_of_fold: np.ndarray | None = None


@dataclass(frozen=True)
class Fit:
    """A classifier fitted on the training rows of a task.

    settings: its hyper-parameters, as they were given or chosen by a search. rows_for: the rows
    that a fit on other images reads. groups: near-duplicates among all images, int (n,).
    """

    classifier: str
    settings: Any
    task: Task
    model: Any
    rows_for: Callable[[np.ndarray], Rows]
    groups: np.ndarray

    @property
    def chosen(self) -> dict[str, Any]:
        """The hyper-parameters, without what a search tries."""
        values = self.settings.model_dump()
        return {name: value for name, value in values.items() if not name.startswith("search_")}

    def proba(self, evaluated: np.ndarray) -> np.ndarray:
        """Class probabilities of rows, by their indices: float64 (n, n_classes)."""
        labels = self.task.labels
        with one_thread():
            proba = FAMILIES[self.classifier].proba(
                self.model, self.settings, replace(self.task, evaluated=evaluated)
            )
        if proba.shape != (len(evaluated), labels.max() + 1) or not np.isfinite(proba).all():
            raise InvalidInput(
                f"{self.classifier}: expected finite probabilities of {labels.max() + 1} classes, "
                f"got {proba.shape} with NaN; look at the features"
            )
        return proba.astype(np.float64, copy=False)

    def out_of_fold(self, split: Split, seed: int) -> np.ndarray | None:
        """Probabilities of a split's training images, each by a fit on the folds without it.

        float64 (n_train, 2); None where folds cannot be made.
        """
        task, labels = replace(self.task, seed=seed), self.task.labels
        try:
            folds = search_folds(labels, self.groups, split, seed)
        except InvalidInput:
            return None
        proba = np.empty((len(labels), 2))
        with one_thread():
            for fitted, held_out in folds:
                rows = self.rows_for(fitted)
                of_fold = replace(task, rows=rows, train=fitted, evaluated=held_out)
                proba[held_out] = FAMILIES[self.classifier].probas([self.settings], of_fold)[0]
        return proba[split.train]


def evaluate(
    classifier: str,
    settings: ClassifierSettings,
    *,
    labels: np.ndarray,
    splits: Sequence[Split],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> list[SplitResult]:
    """Predictions of a classifier on every split, each fitted on its own training part.

    options: see `fits`. progress: called with the splits done and the number of splits.
    Raises InvalidInput as `fits` does, and if the same rows train and validate.
    """
    for split in splits:
        if np.intersect1d(split.train, split.validation).size:
            raise InvalidInput(f"split {split.name}: the same rows train and validate")

    def result(split: Split, fit: Fit) -> SplitResult:
        proba, of_test = np.split(fit.proba(fit.task.evaluated), [len(split.validation)])
        of_train = None
        if labels.max() == 1 and split.kind != "repeated":
            own_seed = derived_seed(seed, "classifier", classifier, split.name, "folds")
            of_train = fit.out_of_fold(split, own_seed)
        predicted = proba.argmax(axis=1).astype(np.int64)
        n_correct = int(np.count_nonzero(predicted == labels[split.validation]))
        score = predicted, proba, n_correct, n_correct / len(predicted), of_test
        return SplitResult(split.name, split.kind, *score, fit.chosen, of_train)

    results = []
    options |= {"labels": labels, "splits": splits, "seed": seed, "result": result}
    for each in fits(classifier, settings, **options):
        results.append(each)
        if progress is not None:
            progress(len(results), len(splits))
    return results


def fits(
    classifier: str,
    settings: ClassifierSettings,
    *,
    features: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    labels: np.ndarray,
    splits: Sequence[Split],
    seed: int,
    n_components: int | None = None,
    search: bool = False,
    class_weight: ClassWeight = None,
    groups: np.ndarray | None = None,
    n_jobs: int = -1,
    result: Callable[[Split, Fit], Any] = lambda _, fit: fit,
) -> Iterator[Any]:
    """Yield a classifier's fit on the training part of every split, or a result of it.

    features: float32 (n, d), normalised columns; rows: float64 (n, r), row-space coordinates;
    columns are read by COLUMN_CLASSIFIERS alone. If `n_components` is given, `rows` are: principal
    components fitted on the training rows alone. labels: int (n,), 0..n_classes-1.
    class_weight: `balanced` lets every class count alike in the fit; None: every image.
    search: choose hyper-parameters by stratified cross-validation within the training rows.
    groups: int (n,), equal for near-duplicates, which a search's folds keep together; None: every
    image is its own group.
    n_jobs: cores for fits side by side, -1 for all; never changes a result.
    result: called with a split and its fit beside other fits.
    Raises InvalidInput if arrays do not belong together, hold NaN, or a split lacks a class.
    """
    if classifier not in FAMILIES:
        raise InvalidSettings(
            f"classifier: expected one of {', '.join(FAMILIES)}, got {classifier!r}"
        )
    family = FAMILIES[classifier]
    reads_columns = classifier in COLUMN_CLASSIFIERS and n_components is None
    matrix, form = (features, "features") if reads_columns else (rows, "rows")
    if matrix is None:
        raise InvalidInput(f"{classifier}: expected `{form}`, got None; pass the array")
    _check(matrix, form, labels, splits)
    groups = np.arange(len(labels)) if groups is None else groups
    if groups.shape != labels.shape:
        raise InvalidInput(f"groups: expected one for each label, got {groups.shape}")
    all_rows = Rows(matrix)

    def rows_for(train: np.ndarray) -> Rows:
        if n_components is None:
            return all_rows
        mean, axes = principal_axes(matrix, train, n_components)
        return Rows((matrix - mean) @ axes)

    n_cores = cpu_count() if n_jobs == -1 else n_jobs
    n_beside = min(len(splits) or 1, family.n_beside(matrix, n_cores))

    def result_on(split: Split) -> Any:
        role = ("classifier", classifier, split.name)
        task = Task(
            rows=rows_for(split.train),
            labels=labels,
            train=split.train,
            evaluated=np.concatenate([split.validation, split.test]),
            seed=derived_seed(seed, *role, "fit"),
            n_jobs=n_cores // n_beside,
            class_weight=class_weight,
        )
        chosen = getattr(settings, classifier)
        if search:
            trial = replace(task, seed=derived_seed(seed, *role))
            folds = search_folds(labels, groups, split, derived_seed(trial.seed, "folds"))
            chosen = best_variant(family, chosen, rows_for, folds, trial)
        model = family.fit(chosen, task, None)
        return result(split, Fit(classifier, chosen, task, model, rows_for, groups))

    yield from in_threads(result_on, splits, n_beside)


def _check(matrix: np.ndarray, form: str, labels: np.ndarray, splits: Sequence[Split]) -> None:
    """Raise InvalidInput if arrays and splits do not belong together."""
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
        absent = np.setdiff1d(np.arange(n_classes), labels[split.train])
        if absent.size:
            raise InvalidInput(
                f"split {split.name}: expected every class among the training rows, got none of "
                f"class {', '.join(map(str, absent))}; add images or leave the class out"
            )


def search_folds(
    labels: np.ndarray, groups: np.ndarray, split: Split, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds of the training rows, groups kept together: rows to fit on and held out.

    Five folds, or as many as the smallest class has images (near-duplicates count once); fewer if
    a class would be in one of them alone. Raises InvalidInput if fewer than two are left.
    """
    train = np.asarray(split.train)
    own, group_of = labels[train], groups[train]
    n_each = [len(np.unique(group_of[own == label])) for label in np.unique(own)]
    if min(n_each) < 2:
        raise InvalidInput(
            f"split {split.name}: a search expects at least 2 training images a class, got "
            f"{min(n_each)}, near-duplicates counted once; add images or set search to false"
        )
    is_grouped = len(np.unique(group_of)) < len(train)
    # With groups of one image each, scikit-learn's two splitters give different folds.
    splitter = StratifiedGroupKFold if is_grouped else StratifiedKFold
    for n_folds in range(min(MAX_FOLDS, *n_each), 1, -1):
        divisions = splitter(n_folds, shuffle=True, random_state=seed)
        folds = list(divisions.split(train, own, group_of if is_grouped else None))
        if all(len(np.unique(own[fitted])) == len(n_each) for fitted, _ in folds):
            return [(train[fitted], train[held_out]) for fitted, held_out in folds]
    raise InvalidInput(
        f"split {split.name}: a search expects every class in at least 2 folds of its training "
        "images, got one whose near-duplicates of other classes prevent it; add images or set "
        "search to false"
    )


def best_variant(
    family: Family,
    settings: Any,
    rows_for: Callable[[np.ndarray], Rows],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    task: Task,
) -> Any:
    """Variant whose out-of-fold predictions are best, the first of equals; see `data.balance`."""
    variants = family.variants(settings)
    labels = task.labels[np.concatenate([held_out for _, held_out in folds])]

    def predicted(k: int) -> np.ndarray:
        fitted, held_out = folds[k]
        trial = replace(task, seed=derived_seed(task.seed, "fold", k), is_trial=True)
        trial = replace(trial, rows=rows_for(fitted), train=fitted, evaluated=held_out)
        return np.argmax(family.probas(variants, trial), axis=2)

    n_beside = family.n_beside(task.rows.coordinates, task.n_jobs)
    by_variant = np.concatenate([*in_threads(predicted, range(len(folds)), n_beside)], axis=1)
    measure = accuracy_score if is_balanced(task.labels) else balanced_accuracy_score
    scores = [measure(labels, classes) for classes in by_variant]
    return variants[int(np.argmax(scores))]
