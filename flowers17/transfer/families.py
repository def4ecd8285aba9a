"""The five classifier families: variants of settings for a search, and class probabilities.

A family is two functions. `variants` lists settings, the simplest first. `probas` fits every
variant on the training rows and returns, for each, the class probabilities of the evaluated rows:
float64 (n_evaluated, n_classes). Classes are 0..n_classes-1, each among the training rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
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
from flowers17.transfer.naive_bayes import Moments, class_moments, naive_bayes_probas

# Flowers-17 needs about a hundred iterations; at 1e-4, one image in 340 is still undecided.
GRADIENT_TOLERANCE = 1e-6
MAX_ITERATIONS = 10_000
ClassWeight = Literal["balanced"] | None


class Rows:
    """Rows in some coordinates, and their kernel matrices, each computed once."""

    def __init__(self, coordinates: np.ndarray) -> None:
        self.coordinates = coordinates
        self._kernels: dict[tuple[Any, ...], np.ndarray] = {}

    def kernel(self, settings: SvmSettings) -> np.ndarray:
        """Kernel matrix of all rows: float64 (n, n)."""
        if settings.kernel == "linear":
            return self._once(("linear",), self._inner_products)
        if settings.kernel == "rbf":
            return self._once(
                ("rbf", settings.gamma), lambda: np.exp(-settings.gamma * self._squared_distances())
            )
        return self._once(
            ("poly", settings.gamma, settings.coef0, settings.degree),
            lambda: (
                (settings.gamma * self.kernel(SvmSettings(kernel="linear")) + settings.coef0)
                ** settings.degree
            ),
        )

    def _inner_products(self) -> np.ndarray:
        rows = self.coordinates.astype(np.float64, copy=False)
        return rows @ rows.T

    def _squared_distances(self) -> np.ndarray:
        products = self.kernel(SvmSettings(kernel="linear"))
        lengths = np.diag(products)
        return np.maximum(lengths[:, None] + lengths - 2 * products, 0)

    def _once(self, key: tuple[Any, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        if key not in self._kernels:
            self._kernels[key] = compute()
        return self._kernels[key]


@dataclass(frozen=True)
class Task:
    """Inputs of a fit: all rows and their labels, row indices to train on and to evaluate.

    class_weight: `balanced` lets every class count alike; None: every image.
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

    @property
    def train_rows(self) -> np.ndarray:
        """The coordinates of the training rows."""
        return self.rows.coordinates[self.train]

    @property
    def evaluated_rows(self) -> np.ndarray:
        """The coordinates of the evaluated rows."""
        return self.rows.coordinates[self.evaluated]


@dataclass(frozen=True)
class Family:
    """One kind of classifier."""

    variants: Callable[[Any], list[Any]]
    probas: Callable[[Sequence[Any], Task], list[np.ndarray]]


def _naive_bayes(variants: Sequence[NaiveBayesSettings], task: Task) -> list[np.ndarray]:
    smoothings = [variant.var_smoothing for variant in variants]
    return naive_bayes_probas(fitted_moments(task), task.evaluated_rows, smoothings)


def fitted_moments(task: Task) -> Moments:
    """Class moments of the training rows; they serve every smoothing."""
    moments = class_moments(task.train_rows, task.labels[task.train])
    uniform = np.full_like(moments.prior, -np.log(len(moments.prior)))
    return replace(moments, prior=uniform) if task.class_weight else moments


def _neighbours(variants: Sequence[NeighboursSettings], task: Task) -> list[np.ndarray]:
    return [
        fitted_neighbours(variant, task).predict_proba(task.evaluated_rows) for variant in variants
    ]


def fitted_neighbours(settings: NeighboursSettings, task: Task) -> KNeighborsClassifier:
    """Fitted k-nearest neighbours; k is at most the number of training rows."""
    n_neighbors = min(settings.n_neighbors, len(task.train))
    model = KNeighborsClassifier(n_neighbors, weights=settings.weights, algorithm="brute")
    return model.fit(task.train_rows, task.labels[task.train])


def _svm(variants: Sequence[SvmSettings], task: Task) -> list[np.ndarray]:
    """Softmax of the one-against-one decision function, largest at the predicted class.

    Platt's calibration would refit five times, and can contradict the prediction.
    """
    probas = []
    for variant in variants:
        machine = fitted_svm(variant, task)
        if isinstance(machine, SVC):
            machine_inputs = task.rows.kernel(variant)[np.ix_(task.evaluated, task.train)]
        else:
            machine_inputs = task.evaluated_rows
        probas.append(_of_decision(machine.decision_function(machine_inputs)))
    return probas


def fitted_svm(settings: SvmSettings, task: Task) -> SVC | Pipeline:
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
    return make_pipeline(*steps).fit(task.train_rows, labels)


def _of_decision(decision: np.ndarray) -> np.ndarray:
    """Softmax of a decision function: (n, n_classes)."""
    if decision.ndim == 1:  # two classes: positive means the second
        decision = np.column_stack([-decision, decision]) / 2
    return softmax(decision, axis=1)


def _logistic_regression(
    variants: Sequence[LogisticRegressionSettings], task: Task
) -> list[np.ndarray]:
    """Class probabilities along the regularisation path, each fit started from the last."""
    evaluated_rows = task.evaluated_rows
    regression: LogisticRegression | None = None
    probas = []
    for variant in variants:
        regression = fitted_logistic_regression(variant, task, regression)
        probas.append(regression.predict_proba(evaluated_rows))
    return probas


def fitted_logistic_regression(
    settings: LogisticRegressionSettings, task: Task, previous: LogisticRegression | None = None
) -> LogisticRegression:
    """Fitted logistic regression; `previous`: a fit on the same task to start from, changed."""
    model = previous or LogisticRegression(
        tol=GRADIENT_TOLERANCE,
        max_iter=MAX_ITERATIONS,
        warm_start=True,
        class_weight=task.class_weight,
    )
    return model.set_params(C=settings.C).fit(task.train_rows, task.labels[task.train])


def _random_forest(variants: Sequence[RandomForestSettings], task: Task) -> list[np.ndarray]:
    return [fitted_forest(variant, task).predict_proba(task.evaluated_rows) for variant in variants]


def fitted_forest(settings: RandomForestSettings, task: Task) -> RandomForestClassifier:
    """Fitted random forest that predicts in one thread."""
    # Trees read columns: this order gives the same trees in little more than half the time.
    columns = np.asfortranarray(task.train_rows, dtype=np.float32)
    forest = RandomForestClassifier(
        settings.search_n_estimators if task.is_trial else settings.n_estimators,
        min_samples_leaf=settings.min_samples_leaf,
        random_state=task.seed,
        n_jobs=task.n_jobs,
        class_weight=task.class_weight,
    )
    forest.fit(columns, task.labels[task.train])
    # Threads would sum the trees' votes in the order in which they finish.
    return forest.set_params(n_jobs=1)


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


FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "naive_bayes": Family(_variants_of("var_smoothing"), _naive_bayes),
        "knn": Family(_variants_of("n_neighbors"), _neighbours),
        "svm": Family(_svm_variants, _svm),
        "logistic_regression": Family(_variants_of("C"), _logistic_regression),
        "random_forest": Family(_variants_of("min_samples_leaf"), _random_forest),
    }
)
