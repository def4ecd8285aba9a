"""Weights of a network in a training's artifact: one file each, in Keras's order."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput

if TYPE_CHECKING:
    import keras

_WEIGHTS = re.compile(r"weights/[0-9]{1,6}\.npy")


def load(model: "keras.Model", artifact: Artifact, command: str) -> None:
    """Load an artifact's weights into a model.

    command: of `flowers17` that repeats the training, for the error. Raises InvalidInput for
    weights of other shapes.
    """
    names = [name for name in artifact.manifest["files"] if _WEIGHTS.fullmatch(name)]
    names.sort(key=lambda name: int(Path(name).stem))
    values = [artifact.array(name.removesuffix(".npy")) for name in names]
    expected_shapes = [tuple(weight.shape) for weight in model.weights]
    shapes = [value.shape for value in values]
    if expected_shapes != shapes:
        raise InvalidInput(
            f"{artifact.manifest['label']}: expected weights of shapes {expected_shapes}, as this "
            f"version builds {model.name}, got {shapes}; run `flowers17 {command}` again"
        )
    for variable, value in zip(model.weights, values, strict=True):
        variable.assign(value)
