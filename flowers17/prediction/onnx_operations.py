"""What tf2onnx lacks: exact GELU, convolutions that Keras compiles, resizing that smooths."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image


@contextmanager
def convertible() -> Iterator[None]:
    """Let a network that is exported meanwhile be one that tf2onnx converts.

    Keras compiles grouped convolutions by XLA, since TensorFlow has none on a processor; ONNX does.
    """
    import tensorflow as tf

    _register_erfc()
    function = tf.function

    def uncompiled(*arguments: Any, jit_compile: bool | None = None, **options: Any) -> Any:
        return function(*arguments, **options)

    with mock.patch.object(tf, "function", uncompiled):
        yield


@cache
def _register_erfc() -> None:
    """Register the complementary error function, 1 - erf, with tf2onnx."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            shared = {"dtypes": node.output_dtypes, "shapes": node.output_shapes}
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", node.input[:1], **shared).output[0]
            unit = ctx.make_const(f"{node.name}_unit", np.array(1, np.float32)).output[0]
            ctx.make_node("Sub", [unit, erf], name=node.name, outputs=node.output, **shared)


def rescaling(layer: Any) -> Any:
    """Rescaling in place of a Normalization, whose numbers ONNX would take for inputs."""
    import keras

    mean, variance = (np.asarray(values).ravel() for values in (layer.mean, layer.variance))
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), dtype="float32")


def resized(images: Any, size: int) -> Any:
    """Symbolic square images in [0, 1] as `extractors.resized` resizes those of 8 bits."""
    import keras

    unit = Image.fromarray(np.eye(images.shape[1], dtype=np.float32))
    weights = np.asarray(unit.resize((size, unit.height), Image.Resampling.BILINEAR))
    layer = keras.layers.Dense(size, use_bias=False, dtype="float32")
    pixels = keras.ops.round(keras.ops.transpose(images, (0, 3, 1, 2)) * 255.0)
    for _ in ("width", "height"):  # Pillow rounds after each
        pixels = keras.ops.swapaxes(keras.ops.floor(layer(pixels) + 0.5), 2, 3)
    layer.set_weights([weights])
    return keras.ops.transpose(pixels, (0, 2, 3, 1)) / 255.0
