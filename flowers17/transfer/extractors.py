"""Extractors: pre-trained networks without their top, and their feature maps.

Functions import Keras themselves, since that takes seconds.
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
from PIL import Image

from flowers17.backbones.facts import Backbone, backbone_of
from flowers17.errors import InvalidInput
from flowers17.learners.images import resized as images_resized
from flowers17.learners.images import scaled
from flowers17.seeds import generator
from flowers17.transfer.weights import check_input_size

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 32
# Images at the input size of an extractor, by bilinear interpolation.
resized = partial(images_resized, resample=Image.Resampling.BILINEAR)
_MAX_PARTS = 10_000  # of a file of weights; InceptionV3's has fewer than 2,000


def build_extractor(
    name: str, *, input_size: int, weights_path: Path | None, seed: int, untrained: bool = False
) -> "keras.Model":
    """Frozen network without its top, weights float32.

    name: see `backbones.facts`. weights_path: a Keras 3 `.weights.h5` or a legacy Keras `.h5`,
    float32 or float16, or the folder of one; of `hub:` a preset's folder; of `file:` the `.keras`
    file. None: an untrained network, but for a user's own function, whose network has weights.
    untrained: kernels are drawn, He-normal, from `seed`, the same on every machine.
    Raises InvalidSettings if the input size is too small for the network, InvalidInput if the file
    is damaged or belongs to another network.
    """
    from flowers17.transfer.backbones import network

    check_input_size(name, input_size)
    backbone = backbone_of(name)
    untrained |= backbone.kind == "keras" and weights_path is None
    model = network(backbone, input_size, weights_path, untrained=untrained)
    if (facts := backbone.facts) and model.count_params() != facts.n_parameters:
        raise InvalidInput(
            f"keras.applications.{facts.function}: expected {facts.n_parameters:,} parameters, "
            f"this version of Keras builds {model.count_params():,}; install the pinned version"
        )
    if untrained:
        _draw_weights(model, seed)
    elif weights_path is not None and backbone.kind in ("keras", "function"):
        _load_weights(model, next(Path(weights_path).glob("*.h5"), weights_path), backbone)
    model.trainable = False
    return model


def fingerprint(model: "keras.Model") -> dict[str, list[Any]]:
    """Structure of a network and, of each weight, the part in one fixed direction, as JSON.

    A digest would differ between devices, whose random numbers differ in a last digit.
    """
    rows = [np.nan_to_num(np.ravel(weight.numpy()).astype(float)) for weight in model.weights]
    layers = [
        [type(each).__name__, *(list(w.shape) for w in each.weights)] for each in model.layers
    ]
    return {
        "structure": [*layers, list(model.output_shape)],
        "weights": [float(row @ np.cos(np.arange(len(row)))) for row in rows],
    }


def check_network(model: "keras.Model", facts: Mapping[str, Any], extractor: str) -> None:
    """Raise InvalidInput if a function's network differs from that of the stage `backbone`."""
    if not (expected := facts.get("fingerprint")):
        return
    built, function = fingerprint(model), backbone_of(extractor).name
    is_alike = built["structure"] == expected["structure"]
    if not is_alike or not np.allclose(built["weights"], expected["weights"], 1e-4, atol=1e-4):
        raise InvalidInput(
            f"{function}: expected the network that it gave in the stage `backbone`, got other "
            f"{'weights' if is_alike else 'layers'}; a function must give the same network at "
            "each call: draw the weights from a fixed seed (keras.utils.set_random_seed), or give "
            f"them as file:PATH.weights.h5+{function}"
        )


def feature_maps(
    model: "keras.Model",
    images: np.ndarray,
    *,
    extractor: str,
    input_size: int,
    pooling: Literal["flatten", "average"] = "flatten",
    mirrored: bool = False,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
    allocate: Callable[[tuple[int, ...], type[np.generic]], np.ndarray] = np.empty,
) -> np.ndarray:
    """Features of images, one row each: float32 (n, h·w·c), or (n, c) if averaged.

    model: over images, to a map, or to the tokens of a network that is cut before a transformer.
    images: uint8 (n, s, s, 3), of any s; resized to `input_size` and scaled as the network expects.
    mirrored: average the features of each image and its mirror image.
    progress: called with the images done and their number after every batch.
    allocate: called with a shape and a type; returns the array for the features, which is written
    batch by batch. It and the images may be memory-mapped files.
    The same batch size gives the same bytes; another one differs by float rounding at most.
    Raises InvalidInput for other shapes or types, and for features that are not finite.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not len(images):
        raise InvalidInput(
            f"images: expected uint8 (n, s, s, 3) with n > 0, got {images.dtype} {images.shape}"
        )
    if pooling not in ("flatten", "average"):
        raise InvalidInput(f"pooling: expected `flatten` or `average`, got {pooling!r}")
    if batch_size < 1:
        raise InvalidInput(f"batch_size: expected at least 1, got {batch_size}")
    # A ReLU after weights that are no numbers may give zeros.
    if not all(np.isfinite(weight.numpy()).all() for weight in model.weights):
        raise InvalidInput(
            f"{extractor}: expected weights that are finite numbers, got NaN or infinity; replace "
            "the weight file, or train the network again"
        )
    network, n = over_images(model, extractor), len(images)
    shape = model.output_shape[1:] if pooling == "flatten" else model.output_shape[-1:]
    features = allocate((n, math.prod(shape)), np.float32)
    # One shape for all batches, the last one filled up: another shape would compile anew.
    n_in_batch = -(-n // -(-n // batch_size))
    for start in range(0, n, n_in_batch):
        stop = min(start + n_in_batch, n)
        batch = np.zeros((n_in_batch, input_size, input_size, 3), np.float32)
        batch[: stop - start] = scaled(resized(images[start:stop], input_size))
        views = (batch, batch[:, :, ::-1]) if mirrored else (batch,)
        maps = [network.predict_on_batch(view) for view in views]
        if pooling == "average":
            maps = [each.mean(axis=tuple(range(1, each.ndim - 1)), dtype=float) for each in maps]
        rows = np.mean(maps, axis=0)[: stop - start].reshape(stop - start, -1)
        if not np.isfinite(rows).all():
            raise InvalidInput(
                f"features of {extractor}: expected finite numbers, got NaN or infinity; "
                "its weights are damaged: replace the weight file"
            )
        features[start:stop] = rows
        if progress is not None:
            progress(stop, n)
    return features


@lru_cache(maxsize=8)  # compiled once
def over_images(model: "keras.Model", extractor: str, size: int | None = None) -> "keras.Model":
    """The network over images in [0, 1] that an extractor is; see `fine_tuning.image_network`."""
    from flowers17.transfer.fine_tuning import image_network

    return image_network(model, None, extractor, image_size=size)


def _draw_weights(model: "keras.Model", seed: int) -> None:
    """Draw every kernel from the seed, and what else is not constant at first, such as embeddings.

    Keras's own initial draw reads a process-wide seed.
    """
    for index, variable in enumerate(model.weights):
        shape = tuple(variable.shape)
        if "kernel" in variable.name:
            # A depthwise kernel has one output for each input.
            n_read = shape[:2] if len(shape) == 4 and shape[3] == 1 else shape[:-1]
            scale = np.sqrt(2.0 / np.prod(n_read))
        elif np.ptp(variable.numpy()) > 0:
            scale = 0.02
        else:
            continue
        draw = generator(seed, "kernel", index).standard_normal(shape, dtype=np.float32)
        variable.assign(draw * np.float32(scale))


def _load_weights(model: "keras.Model", path: Path, backbone: Backbone) -> None:
    name, facts = backbone.name, backbone.facts
    advice = f"expected the weights of {facts.function if facts else name} without top; "
    advice += "replace the file"
    advice += f", or remove it and let {facts.file_name} be downloaded" if facts else ""
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file; {advice}")
    try:
        with h5py.File(path, "r") as file:
            n_found = _n_values(file)
            legacy = "layer_names" in file.attrs
    except (OSError, RuntimeError, KeyError, ValueError) as problem:
        raise InvalidInput(f"{path}: damaged or no HDF5 file ({problem}); {advice}") from problem
    n_expected = model.count_params()
    if n_found != n_expected:
        raise InvalidInput(
            f"{path}: holds {n_found:,} values where {name} has {n_expected:,}; {advice}"
        )
    # Keras skips some weights silently; those stay NaN.
    for variable in model.weights:
        if variable.dtype.startswith("float"):
            variable.assign(np.full(variable.shape, np.nan, np.float32))
    try:
        with tempfile.TemporaryDirectory() as folder:
            # Keras recognises its two formats by the file name alone.
            link = Path(folder) / ("legacy.h5" if legacy else "keras3.weights.h5")
            link.symlink_to(path.resolve())
            model.load_weights(link)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else repr(problem)
        raise InvalidInput(f"{path}: not the weights of {name} ({reason}); {advice}") from problem
    for variable in model.weights:
        if not np.isfinite(variable.numpy()).all():
            raise InvalidInput(f"{path}: {variable.path} holds NaN or was not found; {advice}")


def _n_values(file: h5py.File) -> int:
    """Count the values of all data sets, optimizer state left out.

    Raises ValueError at what Keras never writes: links, data that lie in other files, and more
    parts than any network has. HDF5's own walk takes for ever on groups that are nested deep.
    """
    total, n_parts = 0, 0
    groups: list[h5py.Group] = [file]
    while groups:
        group = groups.pop()
        for name in group:
            n_parts += 1
            if n_parts > _MAX_PARTS:
                raise ValueError(f"it has more than {_MAX_PARTS:,} parts")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError("it has a link to another place")
            part = group[name]
            if isinstance(part, h5py.Group):
                groups += [] if group == file and name.startswith("optimizer") else [part]
            elif isinstance(part, h5py.Dataset):
                if part.external or part.is_virtual:
                    raise ValueError("its values lie in another file")
                total += part.size or 0
    return total
