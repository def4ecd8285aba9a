"""A fitted classifier as plain numbers: what a store holds, and what `layers` computes with.

No class of scikit-learn's is stored, so that reading a classifier runs no code.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from flowers17.artifacts import Artifact
from flowers17.config import SvmSettings
from flowers17.errors import ArtifactDamaged
from flowers17.transfer.classifier_evaluation import Fit
from flowers17.transfer.classifiers import Task
from flowers17.transfer.naive_bayes import Moments, coefficients
from flowers17.transfer.rowspace import one_thread, principal_axes

Kind = Literal["linear", "kernel", "quadratic", "neighbours", "trees"]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class FittedClassifier:
    """A fitted classifier: its kind, the few options of the kind, and its arrays.

    The arrays, by kind. It reads columns (n, d), or their projection on k principal axes:
    `projection` (d, k) and `offset` (k,).
    linear: `weights` (d, c) and `bias` (c,), c decisions. kernel: the same of the kernels with m
    training images. quadratic: `squares` and `columns` (c, d), `constant` (c,), of columns less
    `centre` (d,). neighbours: `labels` (m,) of the training images.
    Training images are `rows` (m,) of the data set or, under a projection, `vectors` (m, k).
    trees: `feature`, `threshold`, `left` and `right` of all nodes (n,); the first nodes of the
    trees, `roots` (t,). A leaf has the feature -1, and on its left its row of `values` (v, c): of a
    forest, shares of classes; of boosted trees, which have `start` (c,), scores added to it.
    """

    kind: Kind
    options: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def description(self) -> dict[str, Any]:
        """All but the arrays as plain JSON, with their names."""
        return {"kind": self.kind, "options": self.options, "arrays": sorted(self.arrays)}

    @classmethod
    def stored(cls, artifact: Artifact) -> "FittedClassifier":
        """The classifier that a stage stored: `classifier.json`, `classifier-<array>.npy`.

        Raises ArtifactDamaged for numbers that are none.
        """
        described = artifact.json("classifier")
        arrays = {name: artifact.array(f"classifier-{name}") for name in described["arrays"]}
        if described["kind"] not in get_args(Kind) or not all(
            np.isfinite(array).all() for array in arrays.values()
        ):
            raise ArtifactDamaged(f"{artifact.path}: expected a fitted classifier's numbers")
        return cls(described["kind"], described["options"], arrays)


def of_fit(fit: Fit, columns: np.ndarray, rows: np.ndarray | None = None) -> FittedClassifier:
    """A fit of scikit-learn's as numbers, for columns of `side_by_side`.

    columns: float32 (n, d), of all images. rows: their row-space coordinates if it was fitted on
    these or on their principal components.
    """
    with one_thread():
        space = _Space(columns, rows, fit.task)
        classifier = _of_model(fit, space)
        return replace(classifier, arrays={**classifier.arrays, **space.projection()})


class _Space:
    """What a classifier was fitted on, in columns, since new images have no coordinates.

    Weights of row-space coordinates become weights of columns, and training images their rows.
    """

    def __init__(self, columns: np.ndarray, rows: np.ndarray | None, task: Task) -> None:
        self.columns, self.rows, self.task = columns, rows, task
        self.coordinates = task.rows.coordinates
        self.reads_components = rows is not None and self.coordinates is not rows
        self.reads_rows = rows is not None and not self.reads_components

    def weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights of what the classifier reads, (d or k, c), of those of coordinates."""
        return self._in_columns(weights) if self.reads_rows else weights

    def images(self, indices: np.ndarray) -> Arrays:
        """Images among the data set's: their indices, or what the classifier reads of them."""
        if self.reads_components:
            return {"vectors": self.coordinates[indices]}
        return {"rows": indices}

    def projection(self) -> Arrays:
        """The principal components that the classifier reads, as arrays; empty without them."""
        if self.rows is None or not self.reads_components:
            return {}
        mean, axes = principal_axes(self.rows, self.task.train, self.coordinates.shape[1])
        return {"projection": self._in_columns(axes), "offset": -mean @ axes}

    def _in_columns(self, weights: np.ndarray) -> np.ndarray:
        rows = np.asarray(self.rows)
        axes = rows / (rows**2).sum(axis=0)
        return np.asarray(self.columns.T.astype(np.float64) @ (axes @ weights))


def _of_model(fit: Fit, space: _Space) -> FittedClassifier:
    model, train = fit.model, fit.task.train
    if isinstance(model, Moments):
        squares, columns, constant = coefficients(model, fit.settings.var_smoothing)
        arrays = {"centre": model.centre, "squares": squares, "columns": columns}
        return FittedClassifier("quadratic", {}, {**arrays, "constant": constant + model.prior})
    if isinstance(model, KNeighborsClassifier):
        options = {"n_neighbors": model.n_neighbors, "weights": model.weights}
        arrays = {"labels": fit.task.labels[train], **space.images(train)}
        return FittedClassifier("neighbours", options, arrays)
    if isinstance(model, SVC):
        # One pair of classes after the other, in which scikit-learn counts votes.
        machine = copy.copy(model).set_params(decision_function_shape="ovo")
        n, support = len(train), model.support_
        bias = machine.decision_function(np.zeros((1, n))).reshape(1, -1)
        weights = machine.decision_function(np.eye(n)[support]).reshape(len(support), -1) - bias
        return _kernel_machine(fit.settings, space, train[support], weights, bias[0], voted=True)
    if isinstance(model, Pipeline):
        *landmarks, linear = [step for _, step in model.steps]
        if landmarks:
            weights = landmarks[0].normalization_.T @ linear.coef_.T
            images = train[landmarks[0].component_indices_]
            return _kernel_machine(fit.settings, space, images, weights, linear.intercept_)
        model = linear
    if isinstance(model, RandomForestClassifier):
        return of_estimator(model)
    return _linear(space.weights(model.coef_.T), model.intercept_)


def _kernel_machine(
    settings: SvmSettings,
    space: _Space,
    images: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    *,
    voted: bool = False,
) -> FittedClassifier:
    """Kernels with images (m,), times weights (m, c), plus a bias (c,)."""
    if settings.kernel == "linear":
        return _linear(space.weights(space.coordinates[images].T @ weights), bias, voted=voted)
    options = settings.model_dump(include={"kernel", "gamma", "coef0", "degree"})
    arrays = {"weights": weights, "bias": bias, **space.images(images)}
    return FittedClassifier("kernel", {**options, "voted": voted}, arrays)


def _linear(weights: np.ndarray, bias: np.ndarray, *, voted: bool = False) -> FittedClassifier:
    return FittedClassifier("linear", {"voted": voted}, {"weights": weights, "bias": bias})


def of_estimator(model: Any) -> FittedClassifier:
    """A fitted meta-learner of `META_LEARNERS`, or a random forest, as numbers."""
    trees = []
    if isinstance(model, RandomForestClassifier):
        for tree in (estimator.tree_ for estimator in model.estimators_):
            shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
            is_leaf, children = tree.children_left < 0, (tree.children_left, tree.children_right)
            trees.append(_Tree(is_leaf, tree.feature, tree.threshold, *children, shares))
        return _of_trees(trees)
    if isinstance(model, HistGradientBoostingClassifier):
        # The trees are private attributes of scikit-learn; a test compares the result.
        for predictors in model._predictors:
            for predictor, of_class in zip(predictors, np.eye(len(predictors)), strict=True):
                nodes = predictor.nodes
                scores, children = (
                    nodes["value"][:, None] * of_class,
                    (nodes["left"], nodes["right"]),
                )
                split = (nodes["is_leaf"] > 0, nodes["feature_idx"], nodes["num_threshold"])
                trees.append(_Tree(*split, *children, scores))
        return _of_trees(trees, start=model._baseline_prediction.reshape(-1))
    return _linear(model.coef_.T, model.intercept_)


class _Tree(NamedTuple):
    """Nodes of a tree, arrays (n,): leaves, split features, thresholds, children; values (n, c)."""

    is_leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray


def _of_trees(trees: Sequence[_Tree], **others: np.ndarray) -> FittedClassifier:
    """Trees whose nodes are numbered through; equal values of leaves are stored once."""
    roots = np.cumsum([0] + [len(tree.is_leaf) for tree in trees[:-1]])
    is_leaf = np.concatenate([tree.is_leaf for tree in trees])
    of_leaves = np.concatenate([tree.values[tree.is_leaf] for tree in trees])
    values, value_of_leaf = np.unique(of_leaves, axis=0, return_inverse=True)
    arrays = {"values": values, "roots": roots.astype(np.int32), **others}
    for name, of_leaf in (("feature", -1), ("threshold", 0), ("left", 0), ("right", 0)):
        first = roots if name in ("left", "right") else np.zeros_like(roots)
        each = [getattr(tree, name) + n for tree, n in zip(trees, first, strict=True)]
        array = np.where(is_leaf, of_leaf, np.concatenate(each))
        arrays[name] = array.astype(np.float32 if name == "threshold" else np.int32)
        if name == "threshold":  # rounded down, so that x <= threshold holds for the same float32 x
            above, lowest = arrays[name] > array, np.float32(-np.inf)
            arrays[name] = np.where(above, np.nextafter(arrays[name], lowest), arrays[name])
    arrays["left"][is_leaf] = value_of_leaf.reshape(-1)
    return FittedClassifier("trees", {}, arrays)
