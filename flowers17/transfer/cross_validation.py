"""Cross-validation within the training part of a split: folds, a search, probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from flowers17.data.balance import is_balanced
from flowers17.errors import InvalidInput
from flowers17.seeds import derived_seed
from flowers17.transfer.families import Family, Rows, Task

MAX_FOLDS = 5


class SplitLike(Protocol):
    """Protocol of a split: name, kind, and row indices of its three parts."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def train(self) -> np.ndarray: ...
    @property
    def validation(self) -> np.ndarray: ...
    @property
    def test(self) -> np.ndarray: ...


def search_folds(
    labels: np.ndarray, groups: np.ndarray, split: SplitLike, seed: int
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
    for n_folds in range(min(MAX_FOLDS, *n_each), 1, -1):
        # With groups of one image each, scikit-learn's two splitters give different folds.
        splitter_class = StratifiedGroupKFold if is_grouped else StratifiedKFold
        splitter = splitter_class(n_folds, shuffle=True, random_state=seed)
        folds = list(splitter.split(train, own, group_of if is_grouped else None))
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
    rows = np.concatenate([held_out for _, held_out in folds])
    predicted: list[list[np.ndarray]] = [[] for _ in variants]
    for k, (fitted, held_out) in enumerate(folds):
        seed, own_rows = derived_seed(task.seed, "fold", k), rows_for(fitted)
        of_fold = replace(task, rows=own_rows, train=fitted, evaluated=held_out, seed=seed)
        for index, proba in enumerate(family.probas(variants, replace(of_fold, is_trial=True))):
            predicted[index].append(proba.argmax(axis=1))
    measure = accuracy_score if is_balanced(task.labels) else balanced_accuracy_score
    scores = [measure(task.labels[rows], np.concatenate(classes)) for classes in predicted]
    return variants[int(np.argmax(scores))]


def out_of_fold(
    family: Family,
    settings: Any,
    rows_for: Callable[[np.ndarray], Rows],
    groups: np.ndarray,
    split: SplitLike,
    task: Task,
) -> np.ndarray | None:
    """Probabilities of a split's training images, each by a fit on the folds without it."""
    try:
        folds = search_folds(task.labels, groups, split, task.seed)
    except InvalidInput:
        return None
    proba = np.empty((len(task.labels), 2))
    for fitted, held_out in folds:
        task_of_fold = replace(task, rows=rows_for(fitted), train=fitted, evaluated=held_out)
        proba[held_out] = family.probas([settings], task_of_fold)[0]
    return proba[split.train]
