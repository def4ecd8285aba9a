"""Built-in networks for the recipe `best`: residual, sequential, and with aggregated features.

Each takes images of any size from 32 pixels. A stem halves the resolution, three stages halve it
again and widen the network, global average pooling follows. Batch norm follows every convolution.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

WIDTHS = (128, 256, 512)
AGGREGATED = ((2, 128), (3, 128), (3, 192))  # convolutions of a stage, and their channels
SMALLEST = 32

Shape = tuple[int | None, int | None, int]
Stage = Callable[[Any, int, str], Any]


def residual(input_shape: Shape, n_classes: int) -> "keras.Model":
    """Residual network of 7.8 million parameters.

    Each stage has a convolution that widens, then a residual block of two convolutions.
    Source: the residual block of He et al. 2016, arXiv:1512.03385, figure 2.
    """

    def stage(x: Any, number: int, name: str) -> Any:
        from keras import layers

        width = WIDTHS[number]
        x = _convolved(x, width, f"{name}_widen")
        pair = _convolved(x, width, f"{name}_first")
        pair = _convolved(pair, width, f"{name}_second")
        return layers.Add(name=name)([x, pair])

    return _of_stages("residual", stage, input_shape, n_classes)


def sequential(input_shape: Shape, n_classes: int) -> "keras.Model":
    """Network without branches, two convolutions in each stage; 4.7 million parameters.

    Source: the stages of Simonyan and Zisserman 2015, arXiv:1409.1556, with batch norm.
    """

    def stage(x: Any, number: int, name: str) -> Any:
        x = _convolved(x, WIDTHS[number], f"{name}_first")
        return _convolved(x, WIDTHS[number], f"{name}_second")

    return _of_stages("sequential", stage, input_shape, n_classes)


def aggregated(input_shape: Shape, n_classes: int) -> "keras.Model":
    """Network of one-shot aggregation stages; 2.4 million parameters.

    A stage concatenates the outputs of all its convolutions and mixes them by one of 1 × 1.
    Source: Lee et al. 2019, arXiv:1904.09730, figure 2.
    """

    def stage(x: Any, number: int, name: str) -> Any:
        from keras import layers

        n_convolutions, width = AGGREGATED[number]
        outputs = [x]
        for position in range(1, n_convolutions + 1):
            outputs.append(_convolved(outputs[-1], width, f"{name}_part{position}"))
        joined = layers.Concatenate(name=f"{name}_joined")(outputs)
        return _convolved(joined, WIDTHS[number], f"{name}_mixed", size=1)

    return _of_stages("aggregated", stage, input_shape, n_classes)


def _of_stages(name: str, stage: Stage, input_shape: Shape, n_classes: int) -> "keras.Model":
    from keras import Input, Model, layers

    inputs = Input(input_shape, name="image")
    x = layers.BatchNormalization(scale=False, center=False, name="standardised")(inputs)
    x = _convolved(x, 64, "stem", strides=2)
    for number in range(len(WIDTHS)):
        x = layers.MaxPooling2D(2, name=f"stage{number + 1}_pool")(x)
        x = stage(x, number, f"stage{number + 1}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    return Model(inputs, x, name=name)


def _convolved(x: Any, filters: int, name: str, *, size: int = 3, strides: int = 1) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
