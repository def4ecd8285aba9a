"""Fitted models of scikit-learn's, averages and calibration, as layers of Keras's own.

Each function takes symbolic rows, one an image, and returns symbolic rows: what the fitted model
says, but for the rounding of its numbers to float32. A file that holds these layers needs neither
scikit-learn nor anything of ours.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from flowers17.config import ClassifierSettings, SvmSettings
from flowers17.ensemble.calibration import SMALLEST
from flowers17.transfer import models
from flowers17.transfer.models import Task
from flowers17.transfer.naive_bayes import Moments, coefficients
from flowers17.transfer.rowspace import one_thread

# A squared distance, of rows of unit length, that float32 does not tell from none at all.
SAME = 1e-6
Rows = Any  # a symbolic float32 tensor (n, d)


def classifier(
    columns: Rows, name: str, settings: ClassifierSettings, task: Task, stored: np.ndarray
) -> Rows:
    """Return what a classifier says that is fitted on a task, as `answers` of it would.

    columns: of `side_by_side`. task: of `classifiers.fitting_task`. stored: float32 (n, d), the
    same columns of the task's images.
    """
    chosen = getattr(settings, name)
    with one_thread():
        if name == "naive_bayes":
            return _naive_bayes(columns, models.fitted_moments(task), chosen.var_smoothing)
        if name == "random_forest":
            return _forest(columns, models.fitted_forest(chosen, task))
        if name == "knn":
            neighbours = models.fitted_neighbours(chosen, task)
            return _neighbours(columns, neighbours, stored[task.train], task.labels[task.train])
        space = Space(stored, task.rows.coordinates)
        if name == "logistic_regression":
            regression = models.fitted_logistic_regression(chosen, task)
            weights = space.in_columns(regression.coef_)
            return _decided(_linear(columns, weights, regression.intercept_))
        return _svm(columns, models.fitted_svm(chosen, task), chosen, space, task.train)


def meta_learner(columns: Rows, model: Any) -> Rows:
    """Return what a fitted meta-learner of `META_LEARNERS` says of probabilities side by side."""
    if isinstance(model, RandomForestClassifier):
        return _forest(columns, model)
    if isinstance(model, HistGradientBoostingClassifier):
        return _boosted(columns, model)
    return _decided(_linear(columns, model.coef_.T, model.intercept_))


class Space(NamedTuple):
    """A data set's images in two forms: columns, float32 (n, d); coordinates, float64 (n, r)."""

    columns: np.ndarray
    rows: np.ndarray

    def in_columns(self, weights: np.ndarray) -> np.ndarray:
        """Return the weights of columns, (d, k), that do what those of coordinates, (k, r), do."""
        axes = self.rows / (self.rows**2).sum(axis=0)
        return self.columns.T.astype(np.float64) @ (axes @ weights.T)


def side_by_side(maps: Sequence[Rows]) -> Rows:
    """Return what `rowspace.side_by_side` returns of feature maps."""
    found = [_normalised(one) for one in maps]
    if len(found) == 1:
        return found[0]
    return ops.multiply(ops.concatenate(found, axis=1), len(found) ** -0.5)


def _normalised(features: Rows) -> Rows:
    roots = ops.multiply(ops.sign(features), ops.sqrt(ops.abs(features)))
    lengths = ops.sqrt(ops.sum(ops.abs(features), axis=1, keepdims=True))
    return ops.divide(roots, ops.maximum(lengths, float(np.finfo(np.float32).tiny)))


def _naive_bayes(columns: Rows, known: Moments, smoothing: float) -> Rows:
    """Return probabilities of naive Bayes; its sums keep six digits in float32."""
    of_squares, of_columns, constant = coefficients(known, smoothing)
    centred = keras.layers.Rescaling(1.0, (-known.centre).tolist(), dtype="float32")(columns)
    score = _linear(ops.square(centred), of_squares.T, constant + known.prior)
    return _decided(ops.add(score, _linear(centred, of_columns.T)))


def _svm(
    columns: Rows, machine: SVC | Pipeline, settings: SvmSettings, space: Space, train: np.ndarray
) -> Rows:
    """Return probabilities of a machine of `models.fitted_svm`, fitted on rows of a space."""
    if isinstance(machine, SVC):
        machine.set_params(decision_function_shape="ovo")
        n = len(train)
        bias = machine.decision_function(np.zeros((1, n))).reshape(1, -1)
        weights = machine.decision_function(np.eye(n)).reshape(n, -1) - bias
        decision = _kernel_machine(columns, space.columns[train], weights, bias[0], settings)
        return _voted(decision, len(machine.classes_))
    *before, linear = [one for _, one in machine.steps]
    if not before:
        return _decided(_linear(columns, space.in_columns(linear.coef_), linear.intercept_))
    [landmarks] = before
    weights = landmarks.normalization_.T @ linear.coef_.T
    among = space.columns[train[landmarks.component_indices_]]
    return _decided(_kernel_machine(columns, among, weights, linear.intercept_, settings))


def _kernel_machine(
    columns: Rows,
    images: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    settings: SvmSettings,
) -> Rows:
    """Return kernels between rows and images, (n, m), times weights (m, k), plus a bias (k,)."""
    if settings.kernel == "linear":
        return _linear(columns, images.T.astype(np.float64) @ weights, bias)
    if settings.kernel == "rbf":
        lengths = (images.astype(np.float64) ** 2).sum(axis=1)
        to_images = _linear(columns, -2.0 * images.T, lengths)
        own = ops.sum(ops.square(columns), axis=1, keepdims=True)
        distances = ops.maximum(ops.add(to_images, own), 0.0)
        return _linear(ops.exp(ops.multiply(distances, -settings.gamma)), weights, bias)
    products = _linear(columns, images.T)
    shifted = ops.add(ops.multiply(products, settings.gamma), settings.coef0)
    return _linear(ops.power(shifted, float(settings.degree)), weights, bias)


def _voted(decision: Rows, n_classes: int) -> Rows:
    """Return probabilities by what machines of class against class, (n, c (c - 1) / 2), say.

    As scikit-learn adds votes and margins: the margins' sums decide between equal votes only.
    """
    if n_classes == 2:
        return _decided(decision)
    pairs = [(one, other) for one in range(n_classes) for other in range(one + 1, n_classes)]
    for_second = np.zeros((len(pairs), n_classes))
    for place, (one, other) in enumerate(pairs):
        for_second[place, [one, other]] = -1, 1
    margins = _linear(decision, -for_second)
    is_second = ops.cast(ops.less(decision, 0.0), "float32")
    votes = _linear(is_second, for_second, np.arange(n_classes)[::-1])
    shares = ops.divide(margins, ops.multiply(ops.add(ops.abs(margins), 1.0), 3.0))
    return ops.softmax(ops.add(votes, shares), axis=1)


def _decided(decision: Rows) -> Rows:
    """Return the softmax of classes' decisions, (n, c), or of one that tells two classes apart."""
    if decision.shape[1] == 1:
        decision = _linear(decision, np.array([[-0.5, 0.5]]))
    return ops.softmax(decision, axis=1)


def _neighbours(
    columns: Rows, model: KNeighborsClassifier, train: np.ndarray, labels: np.ndarray
) -> Rows:
    """Return the shares of classes among the nearest of the training columns, float32 (m, d)."""
    lengths = (train.astype(np.float64) ** 2).sum(axis=1)
    closeness = _linear(columns, 2.0 * train.T, -lengths)  # but for the row's own length
    closest, places = ops.top_k(closeness, model.n_neighbors)
    votes = _rows_of(np.eye(len(model.classes_))[labels], places)
    if model.weights == "uniform":
        return ops.mean(votes, axis=1)
    own = ops.sum(ops.square(columns), axis=1, keepdims=True)
    squares = ops.maximum(ops.subtract(own, closest), SAME)
    weights = ops.where(ops.greater(squares, SAME), ops.divide(1.0, ops.sqrt(squares)), 1e7)
    shares = ops.divide(weights, ops.sum(weights, axis=1, keepdims=True))
    return ops.sum(ops.multiply(votes, ops.expand_dims(shares, 2)), axis=1)


def _forest(columns: Rows, model: RandomForestClassifier) -> Rows:
    """Return the mean of the trees' shares of classes."""
    trees = [one.tree_ for one in model.estimators_]
    parts = [
        Tree(
            one.children_left < 0, one.feature, one.threshold, one.children_left, one.children_right
        )
        for one in trees
    ]
    shares = [one.value[:, 0] / one.value[:, 0].sum(axis=1, keepdims=True) for one in trees]
    return ops.mean(_rows_of(np.concatenate(shares), _leaves(columns, parts)), axis=1)


def _boosted(columns: Rows, model: HistGradientBoostingClassifier) -> Rows:
    """Return the softmax of the sums of trees, each of which speaks of one class.

    scikit-learn keeps these trees to itself; that they are read rightly is tested.
    """
    parts, values = [], []
    n_scores = model.n_trees_per_iteration_
    for predictors in model._predictors:
        for place, one in enumerate(predictors):
            nodes = one.nodes
            leaf = nodes["is_leaf"].astype(bool)
            names = ("feature_idx", "num_threshold", "left", "right")
            parts.append(Tree(leaf, *(nodes[name].astype(np.float64) for name in names)))
            values.append(nodes["value"][:, None] * (np.arange(n_scores) == place))
    found = ops.sum(_rows_of(np.concatenate(values), _leaves(columns, parts)), axis=1)
    start = model._baseline_prediction.reshape(-1)
    return _decided(ops.add(found, _constants(columns, start)))


class Tree(NamedTuple):
    """A tree's nodes, arrays (n,): which are leaves, and what the others compare and lead to."""

    is_leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray


def _leaves(columns: Rows, trees: Sequence[Tree]) -> Any:
    """Return in which leaves of all trees rows end, (n, t), nodes counted through the trees.

    Every row walks down all trees at once, a level a step; a leaf leads to itself.
    """
    first = np.cumsum([0] + [len(one.is_leaf) for one in trees])
    nodes, depth = np.zeros((first[-1], 4)), 0
    for start, tree in zip(first, trees, strict=False):
        itself = np.arange(len(tree.is_leaf))
        nodes[start : start + len(itself)] = np.column_stack(
            [
                np.where(tree.is_leaf, 0, tree.feature),
                np.where(tree.is_leaf, 0, _rounded_down(tree.threshold)),
                start + np.where(tree.is_leaf, itself, tree.left),
                start + np.where(tree.is_leaf, itself, tree.right),
            ]
        )
        depth = max(depth, _depth(tree))
    place = ops.cast(_constants(columns, first[:-1]), "int32")
    table = keras.layers.Embedding(*nodes.shape, dtype="float32", weights=[nodes])
    for _ in range(depth):
        found = table(place)
        column = ops.cast(found[:, :, 0], "int32")
        goes_left = ops.less_equal(ops.take_along_axis(columns, column, axis=1), found[:, :, 1])
        place = ops.cast(ops.where(goes_left, found[:, :, 2], found[:, :, 3]), "int32")
    return place


def _depth(tree: Tree) -> int:
    """Return how many steps lead from the root to the farthest leaf."""
    steps, level = 0, np.array([0])
    while len(level := level[~tree.is_leaf[level]]):
        level = np.concatenate([tree.left[level], tree.right[level]]).astype(np.int64)
        steps += 1
    return steps


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """Return float32 numbers that the same float32 numbers are at most."""
    found = thresholds.astype(np.float32)
    return np.where(found > thresholds, np.nextafter(found, np.float32(-np.inf)), found)


def averaged(probas: Sequence[Rows]) -> Rows:
    """Return the average of models' probabilities."""
    return weighted(probas, [1 / len(probas)] * len(probas))


def weighted(probas: Sequence[Rows], weights: Sequence[float]) -> Rows:
    """Return the weighted average of models' probabilities."""
    parts = [ops.multiply(one, float(w)) for one, w in zip(probas, weights, strict=True)]
    return parts[0] if len(parts) == 1 else keras.layers.Add(dtype="float32")(parts)


def tempered(proba: Rows, temperature: float) -> Rows:
    """Return what `calibration.tempered` returns."""
    return ops.softmax(ops.divide(ops.log(ops.maximum(proba, SMALLEST)), temperature), axis=1)


def _linear(columns: Rows, weights: np.ndarray, bias: np.ndarray | None = None) -> Rows:
    layer = keras.layers.Dense(weights.shape[1], use_bias=bias is not None, dtype="float32")
    found = layer(columns)
    layer.set_weights([weights] if bias is None else [weights, bias])
    return found


def _constants(columns: Rows, values: np.ndarray) -> Rows:
    """Return the same numbers for each row; a constant itself would not survive ONNX."""
    return _linear(columns[:, :1], np.zeros((1, len(values))), values)


def _rows_of(table: np.ndarray, places: Any) -> Any:
    """Return rows of a table (m, k) by places (n, t): (n, t, k)."""
    return keras.layers.Embedding(*table.shape, dtype="float32", weights=[table])(places)
