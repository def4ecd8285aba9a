"""Points at which a network can be cut in two, found in its graph, and its blocks by name.

A cut needs a point that one tensor alone crosses: what comes before it is computed once and stored.
Blocks are told from the layers' names as their authors chose them; a network without such names has
a block behind each point.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from flowers17.backbones.facts import Cuts

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
        {name: 1 - point.position / len(nodes) for name, point in named.items()}
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
