"""A small untrained network for the tests, and its weights in each of Keras's formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from flowers17.transfer.extractors import build_extractor

SIZE = 32


def small_network(seed: int = 1) -> Any:
    """Untrained MobileNet for images of 32 pixels."""
    return build_extractor("mobilenet", input_size=SIZE, weights_path=None, seed=seed)


def keras3_file(model: Any, path: Path) -> Path:
    """Write the weights as Keras 3 does."""
    model.save_weights(path)
    return path


def legacy_file(model: Any, path: Path) -> Path:
    """Write the weights as Keras 2 did, which is how Keras publishes them."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0.0"
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()
    return path


def half_precision_file(model: Any, path: Path) -> Path:
    """Write the weights as Keras 3 does, kernels in float16."""
    full_precision = keras3_file(model, path.with_name("whole.weights.h5"))
    with h5py.File(full_precision) as source, h5py.File(path, "w") as target:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                target[name] = item[:].astype("f2" if item.ndim == 4 else "f4")
            else:
                target.require_group(name).attrs.update(item.attrs)

        source.visititems(copy)
    return path


WRITERS: dict[str, Callable[[Any, Path], Path]] = {
    "keras3": keras3_file,
    "legacy": legacy_file,
    "float16": half_precision_file,
}
