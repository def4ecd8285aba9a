"""Our own networks, for the recipe `best`: three that differ in how their convolutions are wired.

All read images of any size of at least 32 pixels: a stem that halves them, three stages that halve
them again and widen them, a global average. Batch norm follows every convolution.
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
    """Return a residual network: a convolution that widens, and a residual pair, in each stage.

    7.8 million parameters.
    Source: the residual pair of He et al. 2016, arXiv:1512.03385, figure 2.
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
    """Return a network without branches: two convolutions in each stage.

    4.7 million parameters.
    Source: the stages of Simonyan and Zisserman 2015, arXiv:1409.1556, with batch norm.
    """

    def stage(x: Any, number: int, name: str) -> Any:
        x = _convolved(x, WIDTHS[number], f"{name}_first")
        return _convolved(x, WIDTHS[number], f"{name}_second")

    return _of_stages("sequential", stage, input_shape, n_classes)


def aggregated(input_shape: Shape, n_classes: int) -> "keras.Model":
    """Return a network whose stages join all that their convolutions gave, and mix it once.

    2.4 million parameters.
    Source: the one-shot aggregation of Lee et al. 2019, arXiv:1904.09730, figure 2.
    """

    def stage(x: Any, number: int, name: str) -> Any:
        from keras import layers

        n_convolutions, width = AGGREGATED[number]
        found = [x]
        for place in range(1, n_convolutions + 1):
            found.append(_convolved(found[-1], width, f"{name}_part{place}"))
        joined = layers.Concatenate(name=f"{name}_joined")(found)
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
