"""The five classifier families: variants of settings for a search, and class probabilities.

A family is three functions. `variants` lists settings, the simplest first. `fit` fits them on the
training rows. `proba` gives a fit's class probabilities of the evaluated rows: float64
(n_evaluated, n_classes). Classes are 0..n_classes-1, each among the training rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Literal

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC, LinearSVC

from flowers17.config import (
    LogisticRegressionSettings,
    NaiveBayesSettings,
    NeighboursSettings,
    RandomForestSettings,
    SvmSettings,
)
from flowers17.transfer.naive_bayes import Moments, class_moments, naive_bayes_proba
from flowers17.transfer.rowspace import COLUMNS_PER_BLOCK, blocks

# Flowers-17 needs about a hundred iterations; at 1e-4, one image in 340 is still undecided.
GRADIENT_TOLERANCE = 1e-6
MAX_ITERATIONS = 10_000
MOST_BYTES_OF_ROWS = 2**30  # that fits side by side copy
ClassWeight = Literal["balanced"] | None


class Rows:
    """Rows in some coordinates, and their kernel matrices, each computed once."""

    def __init__(self, coordinates: np.ndarray) -> None:
        self.coordinates = coordinates
        self._kernels: dict[tuple[Any, ...], np.ndarray] = {}
        self._lock = Lock()  # fits side by side share the rows

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.coordinates[indices]

    def kernel(self, settings: SvmSettings) -> np.ndarray:
        """Kernel matrix of all rows: float64 (n, n)."""
        with self._lock:
            if not self._kernels:
                rows = self.coordinates.astype(np.float64, copy=False)
                self._kernels["linear",] = np.asarray(rows @ rows.T)
            products, gamma, degree = self._kernels["linear",], settings.gamma, settings.degree
            if settings.kernel == "linear":
                return products
            key = settings.kernel, gamma, settings.coef0, degree
            if key not in self._kernels and settings.kernel == "rbf":
                lengths = np.diag(products)
                distances = np.maximum(lengths[:, None] + lengths - 2 * products, 0)
                self._kernels[key] = np.exp(-gamma * distances)
            elif key not in self._kernels:
                self._kernels[key] = (gamma * products + settings.coef0) ** degree
            return self._kernels[key]


@dataclass(frozen=True)
class Task:
    """Inputs of a fit: all rows and their labels, row indices to train on and to evaluate.

    n_jobs: cores for the fit alone. class_weight: `balanced` lets every class count alike; None:
    every image.
    is_trial: whether the fit only compares variants, so that a smaller forest is enough.
    """

    rows: Rows
    labels: np.ndarray
    train: np.ndarray
    evaluated: np.ndarray
    seed: int
    n_jobs: int
    class_weight: ClassWeight = None
    is_trial: bool = False


@dataclass(frozen=True)
class Family:
    """One kind of classifier.

    fit: of settings and a task; it may start from the fit of other settings on the same task, or
    None, and change it. one_at_a_time: whether a fit uses all cores of a task, or much memory.
    """

    variants: Callable[[Any], list[Any]]
    fit: Callable[[Any, Task, Any], Any]
    proba: Callable[[Any, Any, Task], np.ndarray]
    one_at_a_time: bool = False

    def n_beside(self, rows: np.ndarray, n_cores: int) -> int:
        """Number of fits at a time on so many cores; each copies a part of the rows."""
        return 1 if self.one_at_a_time else min(n_cores, max(1, MOST_BYTES_OF_ROWS // rows.nbytes))

    def probas(self, variants: Sequence[Any], task: Task) -> list[np.ndarray]:
        """Class probabilities by every variant, each fitted on the training rows."""
        model, probas = None, []
        for settings in variants:
            model = self.fit(settings, task, model)
            probas.append(self.proba(model, settings, task))
        return probas


def _moments(settings: NaiveBayesSettings, task: Task, previous: Moments | None) -> Moments:
    """Class moments of the training rows; they serve every smoothing."""
    if previous:
        return previous
    moments = class_moments(task.rows.coordinates, task.train, task.labels[task.train])
    uniform = np.full_like(moments.prior, -np.log(len(moments.prior)))
    return replace(moments, prior=uniform) if task.class_weight else moments


def _neighbours(settings: NeighboursSettings, task: Task, _: Any) -> KNeighborsClassifier:
    """Fitted k-nearest neighbours; k is at most the number of training rows."""
    n_neighbors = min(settings.n_neighbors, len(task.train))
    model = KNeighborsClassifier(n_neighbors, weights=settings.weights, algorithm="brute")
    return model.fit(task.rows[task.train], task.labels[task.train])


def _svm_proba(machine: SVC | Pipeline, settings: SvmSettings, task: Task) -> np.ndarray:
    """Softmax of the one-against-one decision function, largest at the predicted class.

    Platt's calibration would refit five times, and can contradict the prediction.
    """
    if isinstance(machine, SVC):
        machine_inputs = task.rows.kernel(settings)[np.ix_(task.evaluated, task.train)]
    else:
        machine_inputs = task.rows[task.evaluated]
    decision = machine.decision_function(machine_inputs)
    if decision.ndim == 1:  # two classes: positive means the second
        decision = np.column_stack([-decision, decision]) / 2
    return softmax(decision, axis=1)


def _svm(settings: SvmSettings, task: Task, _: Any) -> SVC | Pipeline:
    """Fitted SVM on a precomputed kernel; beyond `exact_up_to` rows, the Nyström approximation.

    The approximation is a linear SVM on the kernels with `n_landmarks` training rows.
    Source: Williams and Seeger 2001, "Using the Nyström method to speed up kernel machines".
    """
    labels = task.labels[task.train]
    if len(task.train) <= settings.exact_up_to:
        kernel = task.rows.kernel(settings)[np.ix_(task.train, task.train)]
        machine = SVC(
            kernel="precomputed", C=settings.C, break_ties=True, class_weight=task.class_weight
        )
        return machine.fit(kernel, labels)
    seed, weight = task.seed, task.class_weight
    steps: list[Any] = [LinearSVC(C=settings.C, dual=False, random_state=seed, class_weight=weight)]
    if settings.kernel != "linear":
        shape = {"coef0": settings.coef0, "degree": settings.degree}
        landmarks = Nystroem(
            settings.kernel,
            gamma=settings.gamma,
            n_components=min(settings.n_landmarks, len(task.train)),
            random_state=task.seed,
            **(shape if settings.kernel == "poly" else {}),
        )
        steps.insert(0, landmarks)
    return make_pipeline(*steps).fit(task.rows[task.train], labels)


def _logistic_regression(
    settings: LogisticRegressionSettings, task: Task, previous: LogisticRegression | None
) -> LogisticRegression:
    """Fitted logistic regression; along a regularisation path, each starts from the last."""
    model = previous or LogisticRegression(
        tol=GRADIENT_TOLERANCE,
        max_iter=MAX_ITERATIONS,
        warm_start=True,
        class_weight=task.class_weight,
    )
    return model.set_params(C=settings.C).fit(task.rows[task.train], task.labels[task.train])


def _random_forest(settings: RandomForestSettings, task: Task, _: Any) -> RandomForestClassifier:
    """Fitted random forest that predicts in one thread."""
    rows, train = task.rows.coordinates, task.train
    # Trees read columns: this order gives the same trees in little more than half the time.
    columns = np.empty((len(train), rows.shape[1]), np.float32, order="F")
    for block in blocks(rows.shape[1], COLUMNS_PER_BLOCK):
        columns[:, block] = rows[:, block][train]
    forest = RandomForestClassifier(
        settings.search_n_estimators if task.is_trial else settings.n_estimators,
        min_samples_leaf=settings.min_samples_leaf,
        random_state=task.seed,
        n_jobs=task.n_jobs,
        class_weight=task.class_weight,
    )
    forest.fit(columns, task.labels[train])
    # Threads would sum the trees' votes in the order in which they finish.
    return forest.set_params(n_jobs=1)


def _predicted_proba(model: Any, settings: Any, task: Task) -> np.ndarray:
    """Class probabilities of a model of scikit-learn's."""
    return np.asarray(model.predict_proba(task.rows[task.evaluated]))


def _svm_variants(settings: SvmSettings) -> list[SvmSettings]:
    return [
        settings.model_copy(update={"kernel": kernel, "gamma": gamma, "C": c})
        for kernel in settings.search_kernel
        for gamma in ((settings.gamma,) if kernel == "linear" else settings.search_gamma)
        for c in settings.search_C
    ]


def _variants_of(setting: str) -> Callable[[Any], list[Any]]:
    def variants(settings: Any) -> list[Any]:
        values = getattr(settings, f"search_{setting}")
        return [settings.model_copy(update={setting: value}) for value in values]

    return variants


FAMILIES: Mapping[str, Family] = {
    "naive_bayes": Family(
        _variants_of("var_smoothing"),
        _moments,
        lambda moments, settings, task: naive_bayes_proba(
            moments, task.rows[task.evaluated], settings.var_smoothing
        ),
        one_at_a_time=True,
    ),
    "knn": Family(_variants_of("n_neighbors"), _neighbours, _predicted_proba),
    "svm": Family(_svm_variants, _svm, _svm_proba),
    "logistic_regression": Family(_variants_of("C"), _logistic_regression, _predicted_proba),
    "random_forest": Family(
        _variants_of("min_samples_leaf"), _random_forest, _predicted_proba, one_at_a_time=True
    ),
}
