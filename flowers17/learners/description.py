"""What a learner is made of: its layers, parameters and operations."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def layers_of(model: "keras.Model") -> list[Any]:
    """Return the layers of a model in their order, those of a model inside it in its place."""
    from keras import Model

    found = []
    for layer in model.layers:
        found += layers_of(layer) if isinstance(layer, Model) else [layer]
    return found


def layer_table(model: "keras.Model") -> list[dict[str, Any]]:
    """Return one row a layer: name, kind, output shape without the batch, parameters."""
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
    """Return the floating-point operations of one image's forward pass.

    Those of convolutions and dense layers, a multiplication and an addition each; the rest is
    small beside them. The model must have been built for a fixed image size. A model inside it
    counts at the size that it was itself built for. What does not count, since Keras does not tell
    at how many places it is: a model inside that takes any size, and layers inside a layer.
    """
    total = 0
    for layer in layers_of(model):
        kernels: list[Any] = [getattr(layer, name, None) for name in KERNELS]
        n_weights = sum(math.prod(one.shape) for one in kernels if hasattr(one, "shape"))
        sides = layer.output.shape[1:-1] if n_weights and hasattr(layer, "output") else (None,)
        if None not in sides:
            total += 2 * math.prod(sides) * n_weights
    return total
