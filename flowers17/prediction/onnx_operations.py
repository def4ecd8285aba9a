"""What tf2onnx lacks for networks of today: exact GELU, and convolutions that Keras compiles."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import numpy as np


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
