"""A network's weights as a training's artifact holds them, one file each in Keras's order."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput

if TYPE_CHECKING:
    import keras

_WEIGHTS = re.compile(r"weights/[0-9]{1,6}\.npy")


def load(model: "keras.Model", artifact: Artifact, command: str) -> None:
    """Put an artifact's weights into a model.

    command: of `flowers17`, that trains it again. Raises InvalidInput for weights of other shapes.
    """
    names = [name for name in artifact.manifest["files"] if _WEIGHTS.fullmatch(name)]
    names.sort(key=lambda name: int(Path(name).stem))
    values = [artifact.array(name.removesuffix(".npy")) for name in names]
    wanted = [tuple(one.shape) for one in model.weights]
    found = [one.shape for one in values]
    if wanted != found:
        raise InvalidInput(
            f"{artifact.manifest['label']}: expected weights of shapes {wanted}, as this version "
            f"builds {model.name}, got {found}; run `flowers17 {command}` again"
        )
    for variable, value in zip(model.weights, values, strict=True):
        variable.assign(value)
