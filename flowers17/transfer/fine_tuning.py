"""Fine-tuning: an extractor cut in two, a head, and the networks that the two phases train.

The frozen part of a network computes in inference mode: its batch normalisation uses the moving
averages of the pre-trained weights. Its activations do not change while the rest is trained, so
they can be stored; training on stored activations and on images ends with the same bits.

A cut needs a point that one tensor alone crosses, found in the network's graph. Blocks are told
from the layers' names as their authors chose them; a network without such names has a block behind
each point.

Every network needs a freshly built extractor, since a layer that was once trainable stays so.
"""

import importlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras

from flowers17.backbones.facts import Cuts, backbone_of, no_norms
from flowers17.config import HeadSettings
from flowers17.learners.networks import drawn
from flowers17.seeds import derived_seed

Pooling = Literal["flatten", "average"]
# VGG, ResNet and DenseNet, EfficientNet, Inception, MobileNet, ConvNeXt, and KerasHub's ResNet.
_BLOCK = re.compile(
    r"(?:convnext_[a-z]+_)?(?P<name>stage_\d+_block_\d+|(?:conv|stack)\d+_block\d+|block\d+_\d+"
    r"|block_?\d+[a-z]?|expanded_conv_\d+|mixed\d+$)(?:_|$)|conv_(?:pad|dw|pw)_(?P<number>\d+)"
)


@dataclass(frozen=True)
class _Point:
    """A tensor that crosses alone, and the number of the graph's nodes up to it."""

    tensor: Any
    position: int


@keras.saving.register_keras_serializable("flowers17")
class Frozen(keras.Model):
    """Network that computes in inference mode even in training: frozen layers would drop out."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Outputs in inference mode."""
        return super().call(inputs, training=False, mask=mask)


def cut(
    extractor: keras.Model, name: str, block: str | None, *, norms: str = "training"
) -> tuple[keras.Model, keras.Model | None]:
    """Frozen part of an extractor below a block, and trainable part from the block on.

    extractor: freshly built by `build_extractor`. block: as `Cuts.name_of` takes it; None: the
    first part is the whole extractor, the second None. Both share the extractor's weights.
    norms: `inference` keeps the second part's batch normalisation as it is, moving averages, scale
    and offset, even in training: untrained, both parts then compute what the extractor does.
    Raises InvalidSettings if it cannot be cut there, or no batch normalisation comes behind.
    """
    extractor.trainable = False
    if block is None:
        return Frozen(extractor.inputs, extractor.outputs[0], name=extractor.name), None
    cuts, tensors = cuts_of(extractor)
    tensor = tensors[cuts.name_of(name, block)]
    lower = Frozen(extractor.inputs, tensor, name=f"{_layer_name(name)}-frozen")
    upper = keras.Model(tensor, extractor.output, name=f"{_layer_name(name)}-unfrozen")
    for layer in upper.layers:
        layer.trainable = True
    if norms == "inference":
        kind, layers = keras.layers.BatchNormalization, upper._flatten_layers()
        batch_norms = [layer for layer in layers if isinstance(layer, kind)]
        if not batch_norms:
            raise no_norms(name, block)
        for layer in batch_norms:
            layer.trainable = False
    return lower, upper


def _layer_name(extractor: str) -> str:
    """Name of an extractor as backends take it for a layer."""
    return re.sub(r"[^\w.-]", "-", extractor, flags=re.ASCII).lstrip("-_") or "network"


def rates_by_block(
    model: keras.Model, extractor: keras.Model, name: str, block: str, *, decay: float
) -> tuple[float, ...]:
    """Discriminative learning rates: one factor of the head's rate for each trainable variable.

    The factor is 1 in the head, `decay` in the last block, and `decay` times that of the next block
    in every other one. model: of `trainable_network` or `image_network`. extractor, name, block:
    the arguments of `cut`. decay: in (0, 1]; 1: all rates are equal.
    Raises InvalidSettings if it cannot be cut there.
    Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2.
    """
    distance: dict[int, int] = {}
    cuts, tensors = cuts_of(extractor)
    blocks = cuts.behind(cuts.name_of(name, block))
    for position, block_name in enumerate(blocks):  # later blocks overwrite their own variables
        upper_part = keras.Model(tensors[block_name], extractor.output)
        distance |= {id(variable): len(blocks) - position for variable in upper_part.weights}
    return tuple(decay ** distance.get(id(variable), 0) for variable in model.trainable_variables)


def trainable_network(
    upper: keras.Model | None,
    map_shape: tuple[int, ...],
    n_classes: int,
    *,
    pooling: Pooling,
    units: int,
    head: HeadSettings,
    seed: int,
    name: str = "fine-tuned",
) -> keras.Model:
    """Trainable part of a network: activations float32 → class probabilities.

    upper: of `cut`, or None for the head alone. map_shape: (h, w, c) of the extractor's feature
    map. seed: of the head's initial weights and of all dropout. The head is the model's layer
    `head`; the last layer is the softmax alone.
    """
    for number, layer in enumerate(upper._flatten_layers() if upper else ()):
        if states := getattr(layer, "seed_generator", None):
            states.state.assign([derived_seed(seed, "dropout", number) % 2**31, 0])
    layers, feature_map = keras.layers, keras.Input(map_shape, name="feature_map")
    pool = layers.Flatten() if pooling == "flatten" else layers.GlobalAveragePooling2D()
    x = layers.Dense(units, name="dense")(pool(feature_map))
    x = layers.BatchNormalization(name="dense_bn")(x) if head.batch_norm else x
    x = layers.ReLU(name="dense_relu")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x) if head.dropout else x
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    head_network = drawn(keras.Model(feature_map, x, name="head"), seed)
    input_shape = tuple(upper.input_shape[1:]) if upper else map_shape
    inputs = keras.Input(input_shape, name="activations")
    logits = head_network(upper(inputs) if upper else inputs)
    softmax = layers.Softmax(dtype="float32")
    return keras.Model(inputs, softmax(logits), name=_layer_name(name))


def image_network(
    lower: keras.Model, trained: keras.Model | None, name: str, *, image_size: int | None = None
) -> keras.Model:
    """Network over images: float32 (n, size, size, 3) in [0, 1] → class probabilities.

    lower: of `cut`. trained: of `trainable_network`; None: the activations of `lower` are returned.
    name: the extractor's. image_size: if it is not the extractor's input size, the network resizes
    images, bilinearly and antialiased.
    Pixels are scaled as the extractor expects (`preprocess_input` in Keras), in the same graph:
    TensorFlow merges constant factors, so that pixels scaled elsewhere differ in a last digit.
    """
    size, facts = lower.input_shape[1], backbone_of(name).facts
    inputs = keras.Input((image_size or size, image_size or size, 3), name="image")
    activations = lower(Scaled(facts.module if facts else "", size)(inputs))
    if trained is None:
        return keras.Model(inputs, activations)
    softmax = trained.layers[-1]
    logits = keras.Model(trained.inputs, softmax.input, name="trained")(activations)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits), name=trained.name)


@keras.saving.register_keras_serializable("flowers17")
class Scaled(keras.layers.Layer):
    """Layer that resizes and scales pixels in [0, 1] as an extractor expects them; no weights.

    module: of `keras.applications`, whose `preprocess_input` is applied to values 0 to 255; empty:
    the extractor itself scales them.
    """

    def __init__(self, module: str, size: int, **rest: Any) -> None:
        super().__init__(**({"dtype": "float32"} | rest))
        self.module, self.size = module, size

    def call(self, images: Any) -> Any:
        """Scaled pixels (n, size, size, 3) of images (n, h, w, 3)."""
        sides = (self.size, self.size)
        if tuple(images.shape[1:3]) != sides:  # a Resizing layer would switch dropout on
            images = keras.ops.image.resize(images, sides, antialias=True)
        if not self.module:
            return images * 255.0
        applications = importlib.import_module(f"keras.applications.{self.module}")
        return applications.preprocess_input(images * 255.0, data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the scaled pixels."""
        return (input_shape[0], self.size, self.size, 3)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "module": self.module, "size": self.size}


def cuts_of(model: keras.Model) -> tuple[Cuts, Mapping[str, Any]]:
    """Points where a network can be cut, with weights behind them, and their tensors by name.

    model: a functional one, of one input and output. A block's point is the last one before all of
    its layers. Layers whose names Keras counts, anew in each process, have no names here.
    """
    nodes = [
        node
        for depth in sorted(model._nodes_by_depth)[::-1]
        for node in model._nodes_by_depth[depth]
    ]
    points = _points(model, nodes)
    ends = [*(point.position for point in points[1:]), len(nodes)]
    segments = [
        (point, nodes[point.position : end])
        for point, end in zip(points, ends, strict=True)
        if any(map(_is_weighted, nodes[point.position :]))
    ]
    blocks: dict[str, _Point] = {}
    layers: dict[str, _Point] = {}
    for point, segment in segments:
        for node in segment:
            name = node.operation.name
            if match := _BLOCK.match(name):
                blocks.setdefault(match["name"] or f"block{match['number']}", point)
            inputs = [id(tensor) for tensor in node.input_tensors]
            if inputs == [id(point.tensor)] and not _is_counted(node.operation):
                layers[name] = point
    if len(blocks) < 2:
        firsts = [(next(filter(_is_weighted, segment), None), point) for point, segment in segments]
        blocks = {node.operation.name: point for node, point in firsts if node}
    tensors = {name: point.tensor for name, point in {**layers, **blocks}.items()}
    shares = [
        {name: round(1 - point.position / len(nodes), 4) for name, point in named.items()}
        for named in (blocks, layers)
    ]
    return Cuts(*shares), tensors


def _points(model: keras.Model, nodes: list[Any]) -> list[_Point]:
    """Points in order, the input the first; nodes: in an order in which each comes after its own.

    In such an order, one tensor still waits to be read wherever one alone crosses.
    """
    n_readers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    n_readers.update(id(tensor) for tensor in model.outputs)
    waiting: dict[int, Any] = {}
    points = []
    for position, node in enumerate(nodes, start=1):
        for tensor in node.input_tensors:
            n_readers[id(tensor)] -= 1
            if not n_readers[id(tensor)]:
                waiting.pop(id(tensor))
        waiting |= {id(tensor): tensor for tensor in node.output_tensors if n_readers[id(tensor)]}
        if len(waiting) == 1:
            points.append(_Point(next(iter(waiting.values())), position))
    return points


def _is_weighted(node: Any) -> bool:
    """Whether a node of a graph is of a layer with weights."""
    return bool(getattr(node.operation, "weights", ()))


def _is_counted(operation: Any) -> bool:
    """Whether Keras gave an operation its name, with a number that differs from build to build."""
    kind = keras.src.utils.naming.to_snake_case(type(operation).__name__)
    return re.fullmatch(rf"{kind}(_\d+)?", operation.name) is not None
