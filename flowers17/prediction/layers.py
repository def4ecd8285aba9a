"""Fitted classifiers, averages and calibration as layers of Keras.

Each function takes symbolic rows, one per image, and returns symbolic rows of their type: float64
to predict, float32 in an exported file. A file that holds these layers needs neither scikit-learn
nor flowers17.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flowers17.ensemble.calibration import SMALLEST
from flowers17.errors import ArtifactDamaged
from flowers17.prediction.fitted_classifier import FittedClassifier

# Squared distances between rows of unit length that cannot be told from 0.
SAME = {"float32": 1e-6, "float64": 1e-12}
# Levels of the deepest tree that is followed; those of scikit-learn have at most one an image.
MAX_DEPTH = 10_000
MAX_CLASSES = 100_000
Rows = Any  # a symbolic float tensor (n, d); what is computed from it has its type
Arrays = Mapping[str, np.ndarray]
Options = Mapping[str, Any]


def classifier(columns: Rows, fitted: FittedClassifier, images: np.ndarray | None = None) -> Rows:
    """Class probabilities of a fitted classifier, as scikit-learn's own gives them.

    columns: of `side_by_side`, or probabilities for a meta-learner. images: float32 (m, d), the
    same columns of the data set's images at its `rows`, if it has them.
    """
    arrays = dict(fitted.arrays)
    if "projection" in arrays:
        columns = _linear(columns, arrays["projection"], arrays["offset"])
    if images is not None:
        arrays["vectors"] = images
    return _KINDS[fitted.kind](columns, arrays, fitted.options)


def side_by_side(maps: Sequence[Rows]) -> Rows:
    """Feature maps joined as `rowspace.side_by_side` joins them."""
    normalised = []
    for features in maps:
        roots = ops.multiply(ops.sign(features), ops.sqrt(ops.abs(features)))
        lengths = ops.sqrt(ops.sum(ops.abs(features), axis=1, keepdims=True))
        tiny = float(np.finfo(np.float32).tiny)
        normalised.append(ops.divide(roots, ops.maximum(lengths, tiny)))
    if len(normalised) == 1:
        return normalised[0]
    return ops.multiply(ops.concatenate(normalised, axis=1), len(normalised) ** -0.5)


def _quadratic(columns: Rows, arrays: Arrays, options: Options) -> Rows:
    """Probabilities of naive Bayes; centred, its sums keep six digits in float32."""
    shift = (-arrays["centre"]).tolist()
    centred = keras.layers.Rescaling(1.0, shift, dtype=columns.dtype)(columns)
    of_squares = _linear(ops.square(centred), arrays["squares"].T, arrays["constant"])
    return _decided(ops.add(of_squares, _linear(centred, arrays["columns"].T)))


def _linear_classes(columns: Rows, arrays: Arrays, options: Options) -> Rows:
    decision = _linear(columns, arrays["weights"], arrays["bias"])
    return (_voted if options["voted"] else _decided)(decision)


def _kernel_classes(columns: Rows, arrays: Arrays, options: Options) -> Rows:
    """Probabilities from kernels between rows and images, weighted."""
    gamma, vectors = float(options["gamma"]), arrays["vectors"]
    if options["kernel"] == "rbf":
        kernels = ops.exp(ops.multiply(_squared_distances(columns, vectors), -gamma))
    else:
        shifted = ops.add(ops.multiply(_linear(columns, vectors.T), gamma), options["coef0"])
        kernels = ops.power(shifted, float(options["degree"]))
    return _linear_classes(kernels, arrays, options)


def _voted(decision: Rows) -> Rows:
    """Probabilities from one-versus-one decisions, (n, c (c - 1) / 2).

    Votes and margins are added as in scikit-learn: margins decide between equal votes only.
    """
    if decision.shape[1] == 1:
        return _decided(decision)
    firsts, seconds = np.triu_indices(round((2 * decision.shape[1]) ** 0.5) + 1, 1)
    n_classes = int(seconds[-1]) + 1
    for_second = np.zeros((len(firsts), n_classes))
    for_second[np.arange(len(firsts)), firsts] = -1
    for_second[np.arange(len(firsts)), seconds] = 1
    margins = _linear(decision, -for_second)
    is_second = ops.cast(ops.less(decision, 0.0), decision.dtype)
    votes = _linear(is_second, for_second, np.arange(n_classes)[::-1])
    shares = ops.divide(margins, ops.multiply(ops.add(ops.abs(margins), 1.0), 3.0))
    return ops.softmax(ops.add(votes, shares), axis=1)


def _decided(decision: Rows) -> Rows:
    """The softmax of the decisions of classes, (n, c), or of the one decision of two classes."""
    if decision.shape[1] == 1:
        decision = _linear(decision, np.array([[-0.5, 0.5]]))
    return ops.softmax(decision, axis=1)


def _squared_distances(columns: Rows, vectors: np.ndarray) -> Rows:
    """Squared Euclidean distances of rows to vectors (m, d): (n, m)."""
    lengths = (vectors.astype(np.float64) ** 2).sum(axis=1)
    to_vectors = _linear(columns, 2.0 * vectors.T, -lengths)
    own = ops.sum(ops.square(columns), axis=1, keepdims=True)
    # Of as many rows as vectors, Keras's `add` would take a column of numbers for a bias.
    return ops.maximum(ops.subtract(own, to_vectors), 0.0)


def _neighbours(columns: Rows, arrays: Arrays, options: Options) -> Rows:
    """The shares of classes among the nearest of the training images."""
    vectors, labels = arrays["vectors"], _indices(arrays["labels"], MAX_CLASSES)
    closest, indices = ops.top_k(
        ops.negative(_squared_distances(columns, vectors)), int(options["n_neighbors"])
    )
    votes = _rows_of(np.eye(labels.max() + 1)[labels], indices, columns.dtype)
    if options["weights"] == "uniform":
        return ops.mean(votes, axis=1)
    same, squares = SAME[columns.dtype], ops.negative(closest)
    inverse = ops.divide(1.0, ops.sqrt(ops.maximum(squares, same)))
    weights = ops.where(ops.greater(squares, same), inverse, 1e12)
    shares = ops.divide(weights, ops.sum(weights, axis=1, keepdims=True))
    return ops.sum(ops.multiply(votes, ops.expand_dims(shares, 2)), axis=1)


def _trees(columns: Rows, arrays: Arrays, options: Options) -> Rows:
    """The mean of the trees' shares of classes, or the softmax of the sum of their scores.

    All trees are descended at once, one level a step.
    """
    is_leaf, itself = arrays["feature"] < 0, np.arange(len(arrays["feature"]))
    feature = _indices(np.maximum(arrays["feature"], 0), columns.shape[1])
    value = _indices(np.where(is_leaf, arrays["left"], 0), len(arrays["values"]))
    # A leaf leads to itself.
    branches = [np.where(is_leaf, itself, arrays[side]) for side in ("left", "right")]
    nodes = np.column_stack([feature, arrays["threshold"], *branches])
    node = ops.cast(_constants(columns, arrays["roots"]), "int32")
    table = keras.layers.Embedding(*nodes.shape, dtype=columns.dtype, weights=[nodes])
    for _ in range(_depth(is_leaf, branches, arrays["roots"])):
        values = table(node)
        column = ops.cast(values[:, :, 0], "int32")
        goes_left = ops.less_equal(ops.take_along_axis(columns, column, axis=1), values[:, :, 1])
        node = ops.cast(ops.where(goes_left, values[:, :, 2], values[:, :, 3]), "int32")
    leaves = _rows_of(value[:, None], node, columns.dtype)
    scores = _rows_of(arrays["values"], ops.cast(leaves[:, :, 0], "int32"), columns.dtype)
    if "start" not in arrays:
        return ops.mean(scores, axis=1)
    return _decided(ops.add(ops.sum(scores, axis=1), _constants(columns, arrays["start"])))


def _depth(is_leaf: np.ndarray, branches: Sequence[np.ndarray], roots: np.ndarray) -> int:
    """The number of steps from the roots to the farthest leaf.

    Raises ArtifactDamaged if there is none: others may have written the nodes.
    """
    level = roots
    for depth in range(MAX_DEPTH):
        level = _indices(level, len(is_leaf))
        level = level[~is_leaf[level]]
        if not len(level):
            return depth
        level = np.unique([branch[level] for branch in branches])
    raise ArtifactDamaged(f"expected trees of at most {MAX_DEPTH:,} levels, got deeper ones")


def _indices(indices: np.ndarray, n: int) -> np.ndarray:
    """The indices; raises ArtifactDamaged unless they are those of n things."""
    if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n:
        raise ArtifactDamaged(f"expected a classifier's indices from 0 to {n - 1}, got others")
    return indices


_KINDS: Mapping[str, Callable[[Rows, Arrays, Options], Rows]] = {
    "linear": _linear_classes,
    "kernel": _kernel_classes,
    "quadratic": _quadratic,
    "neighbours": _neighbours,
    "trees": _trees,
}


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
    use_bias, dtype = bias is not None, columns.dtype
    layer = keras.layers.Dense(weights.shape[1], use_bias=use_bias, dtype=dtype)
    output = layer(columns)
    layer.set_weights([weights] if bias is None else [weights, bias])
    return output


def _constants(columns: Rows, values: np.ndarray) -> Rows:
    """The same numbers for each row; a plain constant would not survive ONNX."""
    return _linear(columns[:, :1], np.zeros((1, len(values))), values)


def _rows_of(table: np.ndarray, indices: Any, dtype: str) -> Any:
    """Rows of a table (m, k) at indices (n, t): (n, t, k)."""
    return keras.layers.Embedding(*table.shape, dtype=dtype, weights=[table])(indices)
