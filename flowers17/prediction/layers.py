"""Fitted scikit-learn models, averages and calibration as layers of Keras.

Each function takes symbolic rows, one per image, and returns symbolic rows: the output of the
fitted model, except that its numbers are rounded to float32. A file that holds these layers needs
neither scikit-learn nor flowers17.
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
from flowers17.transfer import families
from flowers17.transfer.families import Task
from flowers17.transfer.naive_bayes import Moments, coefficients
from flowers17.transfer.rowspace import one_thread

# A squared distance between rows of unit length that float32 cannot tell from 0.
SAME = 1e-6
Rows = Any  # a symbolic float32 tensor (n, d)


def classifier(
    columns: Rows, name: str, settings: ClassifierSettings, task: Task, stored: np.ndarray
) -> Rows:
    """Class probabilities of a classifier fitted on a task, as `Classifier.answers` returns them.

    columns: of `side_by_side`. task: of `classifiers.fitting_task`. stored: float32 (n, d), the
    same columns of the task's images.
    """
    chosen = getattr(settings, name)
    with one_thread():
        if name == "naive_bayes":
            return _naive_bayes(columns, families.fitted_moments(task), chosen.var_smoothing)
        if name == "random_forest":
            return _forest(columns, families.fitted_forest(chosen, task))
        if name == "knn":
            neighbours = families.fitted_neighbours(chosen, task)
            return _neighbours(columns, neighbours, stored[task.train], task.labels[task.train])
        space = Space(stored, task.rows.coordinates)
        if name == "logistic_regression":
            regression = families.fitted_logistic_regression(chosen, task)
            weights = space.in_columns(regression.coef_)
            return _decided(_linear(columns, weights, regression.intercept_))
        return _svm(columns, families.fitted_svm(chosen, task), chosen, space, task.train)


def meta_learner(columns: Rows, model: Any) -> Rows:
    """Class probabilities of a fitted meta-learner of `META_LEARNERS`; columns: probabilities."""
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
        """Weights of columns, (d, k), equivalent to weights of coordinates, (k, r)."""
        axes = self.rows / (self.rows**2).sum(axis=0)
        return self.columns.T.astype(np.float64) @ (axes @ weights.T)


def side_by_side(maps: Sequence[Rows]) -> Rows:
    """Feature maps joined as `rowspace.side_by_side` joins them."""
    maps_ = [_normalised(map_) for map_ in maps]
    if len(maps_) == 1:
        return maps_[0]
    return ops.multiply(ops.concatenate(maps_, axis=1), len(maps_) ** -0.5)


def _normalised(features: Rows) -> Rows:
    roots = ops.multiply(ops.sign(features), ops.sqrt(ops.abs(features)))
    lengths = ops.sqrt(ops.sum(ops.abs(features), axis=1, keepdims=True))
    return ops.divide(roots, ops.maximum(lengths, float(np.finfo(np.float32).tiny)))


def _naive_bayes(columns: Rows, known: Moments, smoothing: float) -> Rows:
    """Probabilities of naive Bayes; its sums keep six digits in float32."""
    of_squares, of_columns, constant = coefficients(known, smoothing)
    centred = keras.layers.Rescaling(1.0, (-known.centre).tolist(), dtype="float32")(columns)
    score = _linear(ops.square(centred), of_squares.T, constant + known.prior)
    return _decided(ops.add(score, _linear(centred, of_columns.T)))


def _svm(
    columns: Rows, machine: SVC | Pipeline, settings: SvmSettings, space: Space, train: np.ndarray
) -> Rows:
    """Probabilities of a support vector machine of `families.fitted_svm`, fitted on a space."""
    if isinstance(machine, SVC):
        machine.set_params(decision_function_shape="ovo")
        n = len(train)
        bias = machine.decision_function(np.zeros((1, n))).reshape(1, -1)
        weights = machine.decision_function(np.eye(n)).reshape(n, -1) - bias
        decision = _kernel_machine(columns, space.columns[train], weights, bias[0], settings)
        return _voted(decision, len(machine.classes_))
    *before, linear = [step for _, step in machine.steps]
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
    """Kernels between rows and images, (n, m), times weights (m, k), plus a bias (k,)."""
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
    """Probabilities from one-versus-one decisions, (n, c (c - 1) / 2).

    Votes and margins are added as in scikit-learn: margins decide between equal votes only.
    """
    if n_classes == 2:
        return _decided(decision)
    pairs = [
        (first, second) for first in range(n_classes) for second in range(first + 1, n_classes)
    ]
    for_second = np.zeros((len(pairs), n_classes))
    for pair, (first, second) in enumerate(pairs):
        for_second[pair, [first, second]] = -1, 1
    margins = _linear(decision, -for_second)
    is_second = ops.cast(ops.less(decision, 0.0), "float32")
    votes = _linear(is_second, for_second, np.arange(n_classes)[::-1])
    shares = ops.divide(margins, ops.multiply(ops.add(ops.abs(margins), 1.0), 3.0))
    return ops.softmax(ops.add(votes, shares), axis=1)


def _decided(decision: Rows) -> Rows:
    """The softmax of the decisions of classes, (n, c), or of the one decision of two classes."""
    if decision.shape[1] == 1:
        decision = _linear(decision, np.array([[-0.5, 0.5]]))
    return ops.softmax(decision, axis=1)


def _neighbours(
    columns: Rows, model: KNeighborsClassifier, train: np.ndarray, labels: np.ndarray
) -> Rows:
    """The shares of classes among the nearest of the training columns, float32 (m, d)."""
    lengths = (train.astype(np.float64) ** 2).sum(axis=1)
    closeness = _linear(columns, 2.0 * train.T, -lengths)  # but for the row's own length
    closest, indices = ops.top_k(closeness, model.n_neighbors)
    votes = _rows_of(np.eye(len(model.classes_))[labels], indices)
    if model.weights == "uniform":
        return ops.mean(votes, axis=1)
    own = ops.sum(ops.square(columns), axis=1, keepdims=True)
    squares = ops.maximum(ops.subtract(own, closest), SAME)
    weights = ops.where(ops.greater(squares, SAME), ops.divide(1.0, ops.sqrt(squares)), 1e7)
    shares = ops.divide(weights, ops.sum(weights, axis=1, keepdims=True))
    return ops.sum(ops.multiply(votes, ops.expand_dims(shares, 2)), axis=1)


def _forest(columns: Rows, model: RandomForestClassifier) -> Rows:
    """The mean of the trees' shares of classes."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    nodes = [
        Tree(
            tree.children_left < 0,
            tree.feature,
            tree.threshold,
            tree.children_left,
            tree.children_right,
        )
        for tree in trees
    ]
    shares = [tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True) for tree in trees]
    return ops.mean(_rows_of(np.concatenate(shares), _leaves(columns, nodes)), axis=1)


def _boosted(columns: Rows, model: HistGradientBoostingClassifier) -> Rows:
    """The softmax of the sums of boosted trees, each of which scores one class.

    The trees are private attributes of scikit-learn; a test compares the result.
    """
    trees, values = [], []
    n_scores = model.n_trees_per_iteration_
    for predictors in model._predictors:
        for class_index, predictor in enumerate(predictors):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            names = ("feature_idx", "num_threshold", "left", "right")
            trees.append(Tree(leaf, *(nodes[name].astype(np.float64) for name in names)))
            values.append(nodes["value"][:, None] * (np.arange(n_scores) == class_index))
    scores = ops.sum(_rows_of(np.concatenate(values), _leaves(columns, trees)), axis=1)
    start = model._baseline_prediction.reshape(-1)
    return _decided(ops.add(scores, _constants(columns, start)))


class Tree(NamedTuple):
    """A tree's nodes, arrays (n,): leaves, split features and thresholds, children."""

    is_leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray


def _leaves(columns: Rows, trees: Sequence[Tree]) -> Any:
    """The leaf of each row in each tree, (n, t); nodes are numbered through all trees.

    All trees are descended at once, one level per step; a leaf leads to itself.
    """
    first = np.cumsum([0] + [len(tree.is_leaf) for tree in trees])
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
    node = ops.cast(_constants(columns, first[:-1]), "int32")
    table = keras.layers.Embedding(*nodes.shape, dtype="float32", weights=[nodes])
    for _ in range(depth):
        values = table(node)
        column = ops.cast(values[:, :, 0], "int32")
        goes_left = ops.less_equal(ops.take_along_axis(columns, column, axis=1), values[:, :, 1])
        node = ops.cast(ops.where(goes_left, values[:, :, 2], values[:, :, 3]), "int32")
    return node


def _depth(tree: Tree) -> int:
    """The number of steps from the root to the farthest leaf."""
    steps, level = 0, np.array([0])
    while len(level := level[~tree.is_leaf[level]]):
        level = np.concatenate([tree.left[level], tree.right[level]]).astype(np.int64)
        steps += 1
    return steps


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 numbers at most as large; x <= threshold holds for the same float32 x."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def averaged(probas: Sequence[Rows]) -> Rows:
    """The average of models' probabilities."""
    return weighted(probas, [1 / len(probas)] * len(probas))


def weighted(probas: Sequence[Rows], weights: Sequence[float]) -> Rows:
    """The weighted average of models' probabilities."""
    terms = [ops.multiply(proba, float(w)) for proba, w in zip(probas, weights, strict=True)]
    return terms[0] if len(terms) == 1 else keras.layers.Add(dtype="float32")(terms)


def tempered(proba: Rows, temperature: float) -> Rows:
    """Probabilities at a temperature, as `calibration.tempered` computes them."""
    return ops.softmax(ops.divide(ops.log(ops.maximum(proba, SMALLEST)), temperature), axis=1)


def _linear(columns: Rows, weights: np.ndarray, bias: np.ndarray | None = None) -> Rows:
    layer = keras.layers.Dense(weights.shape[1], use_bias=bias is not None, dtype="float32")
    output = layer(columns)
    layer.set_weights([weights] if bias is None else [weights, bias])
    return output


def _constants(columns: Rows, values: np.ndarray) -> Rows:
    """The same numbers for each row; a plain constant would not survive ONNX."""
    return _linear(columns[:, :1], np.zeros((1, len(values))), values)


def _rows_of(table: np.ndarray, indices: Any) -> Any:
    """Rows of a table (m, k) at indices (n, t): (n, t, k)."""
    return keras.layers.Embedding(*table.shape, dtype="float32", weights=[table])(indices)
