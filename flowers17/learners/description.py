"""Layers, parameters and operations of a learner."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def layers_of(model: "keras.Model") -> list[Any]:
    """Layers of a model in order, nested models replaced by their own layers."""
    from keras import Model

    flat_layers = []
    for layer in model.layers:
        flat_layers += layers_of(layer) if isinstance(layer, Model) else [layer]
    return flat_layers


def layer_table(model: "keras.Model") -> list[dict[str, Any]]:
    """Name, kind, output shape without the batch, and parameters of each layer."""
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "output_shape": list(layer.output.shape[1:]),
            "parameters": int(layer.count_params()),
        }
        for layer in model.layers
    ]


def n_operations(model: "keras.Model") -> int:
    """Floating-point operations (FLOPs) of one image's forward pass.

    Convolutions and dense layers count, a multiplication and an addition for each product; other
    layers cost little beside them. The model must be built for a fixed image size; a nested model
    counts at the size that it was built for. Nested models of any size and layers inside layers
    do not count, since Keras does not give the size of their outputs.
    """
    total = 0
    for layer in layers_of(model):
        kernels: list[Any] = [getattr(layer, name, None) for name in KERNELS]
        n_weights = sum(math.prod(kernel.shape) for kernel in kernels if hasattr(kernel, "shape"))
        sides = layer.output.shape[1:-1] if n_weights and hasattr(layer, "output") else (None,)
        if None not in sides:
            total += 2 * math.prod(sides) * n_weights
    return total
