"""Our own small residual network, for the recipe `best`: 7.8 million parameters."""

from typing import TYPE_CHECKING, Any

from flowers17.errors import InvalidInput

if TYPE_CHECKING:
    import keras

WIDTHS = (128, 256, 512)
SMALLEST = 32


def residual(input_shape: tuple[int | None, int | None, int], n_classes: int) -> "keras.Model":
    """Return a residual network of three stages under global average pooling.

    The stem halves the image twice; each stage widens it, adds one residual pair, and all but the
    last halve it again. Batch norm follows every convolution. A side that is None may differ from
    batch to batch.
    Raises InvalidInput for images below 32 pixels a side.
    Source: the residual pair of He et al. 2016, arXiv:1512.03385, figure 2.
    """
    from keras import Input, Model, layers

    if any(side is not None and side < SMALLEST for side in input_shape[:2]):
        raise InvalidInput(
            f"learner residual: expected images of at least {SMALLEST} × {SMALLEST} pixels, got "
            f"{input_shape[0]} × {input_shape[1]}; raise dataset.image_size or leave it out"
        )
    inputs = Input(input_shape, name="image")
    x = layers.BatchNormalization(scale=False, center=False, name="standardised")(inputs)
    x = _convolved(x, 64, "stem", strides=2)
    for number, width in enumerate(WIDTHS, start=1):
        x = layers.MaxPooling2D(2, name=f"stage{number}_pool")(x)
        x = _convolved(x, width, f"stage{number}_widen")
        pair = _convolved(x, width, f"stage{number}_first")
        pair = _convolved(pair, width, f"stage{number}_second")
        x = layers.Add(name=f"stage{number}")([x, pair])
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    return Model(inputs, x, name="residual")


def _convolved(x: Any, filters: int, name: str, *, strides: int = 1) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
