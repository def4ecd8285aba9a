"""Device, precision and determinism of a training.

Only this module calls a backend by name; everything else calls Keras.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from flowers17.config import ConvolutionsName, DeviceName, PrecisionName, RunOptions
from flowers17.environment import check_keras_settings, processor_facts
from flowers17.errors import InvalidSettings

Precision = Literal["float32", "mixed_bfloat16"]
Convolutions = Literal["winograd", "direct"]
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is present and visible; imports no backend."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*"))


def computes_in_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16."""
    return bool(BFLOAT16_FLAGS & set(processor_facts().get("flags", "").split()))


def chosen_device(device: DeviceName) -> Literal["cpu", "gpu"]:
    """Device of a training; raises InvalidSettings if a GPU is required and absent."""
    if device == "gpu" and not has_gpu():
        raise InvalidSettings(
            "device: expected a GPU, found none (no /dev/nvidia*, or CUDA_VISIBLE_DEVICES hides "
            "it); choose --device auto or cpu, or see `flowers17 doctor`"
        )
    return "gpu" if device != "cpu" and has_gpu() else "cpu"


def device_in(options: RunOptions) -> Literal["cpu", "gpu"]:
    """Device of a run's trainings; raises InvalidSettings as `chosen_device` does.

    With the runner `ray`, a required GPU belongs to a node, and Ray looks for it.
    """
    if options.runner == "ray" and options.device == "gpu":
        return "gpu"
    return chosen_device(options.device)


def chosen_precision(precision: PrecisionName, device: Literal["cpu", "gpu"]) -> Precision:
    """Precision of a training; `auto` is bfloat16 where hardware computes it."""
    if precision == "auto":
        fast = device == "gpu" or computes_in_bfloat16()
        return "mixed_bfloat16" if fast else "float32"
    return precision


def chosen_convolutions(
    convolutions: ConvolutionsName, precision: Precision, device: Literal["cpu", "gpu"]
) -> Convolutions:
    """Algorithm of a training's convolutions over many channels.

    `auto` is Winograd's minimal filtering in float32 on a processor; a GPU's library has its own
    choice.
    """
    is_winograd = convolutions == "auto" and precision == "float32" and device == "cpu"
    return "winograd" if is_winograd else "direct"


def prepare(device: Literal["cpu", "gpu"], precision: Precision, seed: int) -> None:
    """Set device, precision, Keras's seeds and determinism of this process for one training.

    Call it before any model is built. It changes the whole process, so each training has its own
    process. Raises InvalidSettings if the backend sees no GPU although `device` is one, or if
    Keras's own settings file would change numbers.
    """
    check_keras_settings()
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import keras

    setup = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    n_gpus = setup()
    if device == "gpu" and not n_gpus:
        raise InvalidSettings(
            f"device: expected a GPU, {keras.backend.backend()} sees none; install its GPU build "
            "(extra `gpu`), or choose --device cpu"
        )
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)


def _tensorflow() -> int:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    return len(gpus)


def _jax() -> int:
    import jax

    return sum(device.platform == "gpu" for device in jax.devices())


def _torch() -> int:
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    return int(torch.cuda.device_count())


def tensorboard_log(folder: Path) -> Callable[[int, Mapping[str, float]], None]:
    """Function that logs an epoch's numbers; raises InvalidSettings without TensorFlow."""
    try:
        import tensorflow as tf
    except ImportError:
        raise InvalidSettings(
            "tensorboard: expected TensorFlow, which writes the logs; install it or leave the "
            "option out"
        ) from None
    writer = tf.summary.create_file_writer(str(folder))

    def log(step: int, values: Mapping[str, float]) -> None:
        with writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        writer.flush()

    return log


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, compiled as a whole where the backend does not do so itself."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    wrapped: Callable[..., Any] = tf.function(function, jit_compile=True)
    return wrapped


def fused_batch_norm(
    images: Any, scale: Any | None, offset: Any | None, epsilon: float
) -> tuple[Any, Any, Any]:
    """Batch normalisation in training by one TensorFlow kernel.

    images: float32 or bfloat16 (n, h, w, channels). scale, offset: float32 (channels,) or None.
    Returns the normalised images, like `images`, and the mean and variance of each channel,
    float32 (channels,). The results differ from Keras's composition of operations by rounding.
    """
    import tensorflow as tf

    n_channels = images.shape[-1]
    outputs, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(
        images,
        tf.ones(n_channels) if scale is None else tf.convert_to_tensor(scale),
        tf.zeros(n_channels) if offset is None else tf.convert_to_tensor(offset),
        epsilon=epsilon,
        is_training=True,
    )
    n = tf.cast(tf.size(images) // n_channels, "float32")
    return outputs, mean, unbiased * (n - 1.0) / n


def leaky_relu(inputs: Any, negative_slope: float = 0.2) -> Any:
    """Leaky ReLU whose gradient is computed from its output; TensorFlow only.

    inputs: a tensor of any shape and floating type; the output is alike. negative_slope: 0 or more.
    Output and input have the same sign, so the gradient equals Keras's. The input need not be
    stored, so TensorFlow can fuse the activation with the convolution and bias before it.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def activation(tensor: Any) -> tuple[Any, Callable[[Any], Any]]:
        outputs = tf.nn.leaky_relu(tensor, negative_slope)
        return outputs, lambda upstream: tf.raw_ops.LeakyReluGrad(
            gradients=upstream, features=outputs, alpha=negative_slope
        )

    return activation(inputs)


@cache
def compile_quietly() -> None:
    """Compile a first function with standard error silenced, once per process.

    TensorFlow logs its first compilation, at every TF_CPP_MIN_LOG_LEVEL, into the progress bar.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        with silence():
            compiled(lambda number: number + 1)(0.0)


@contextmanager
def silence() -> Iterator[None]:
    """Drop what compiled libraries write to standard error, which no option stops."""
    if sys.stderr is None:  # closed, so that 2 may be another file
        yield
        return
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as null_device:
            os.dup2(null_device.fileno(), 2)
            yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
