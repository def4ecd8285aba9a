"""An extractor of three small convolutions, where a claim is not about which extractor it is."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

BACKBONE = "tests.support.tiny_backbone:network"


def network(input_shape: Any) -> "keras.Model":
    """Network over images in [0, 255], with batch norm; its map has an eighth of their side."""
    import keras

    layers = keras.layers
    images = layers.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    for number, filters in enumerate((8, 8, 16), start=1):
        draw = keras.initializers.GlorotUniform(seed=number)  # the same at each call
        x = layers.Conv2D(
            filters, 3, 2, padding="same", kernel_initializer=draw, name=f"block{number}_conv"
        )(x)
        x = layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = layers.ReLU(name=f"block{number}_relu")(x)
    return keras.Model(images, x)
