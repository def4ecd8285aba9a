"""What a learner is made of: its layers, parameters and operations."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


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
    small beside them. The model must have been built for a fixed image size.
    """
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = 1
            for side in layer.output.shape[1:-1]:
                places *= int(side)
            size = 1
            for side in kernel.shape:
                size *= int(side)
            total += 2 * places * size
    return total
