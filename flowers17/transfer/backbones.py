"""Networks of backbones: those of Keras, presets of KerasHub, a user's own files and functions.

Every network is brought to one form, a functional model without top of images (s, s, 3) that gives
a map (h, w, c). One that gives a vector, or tokens, gives a map of one place. No code from a file
is run: classes that are not Keras's own are refused before Keras reads the file.
"""

import importlib
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np

from flowers17.backbones.facts import Backbone, known_facts
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.own_modules import own_model

# Presets of which the authors take the class token; of others the mean of the tokens.
_WITH_CLASS_TOKEN = ("ViT", "DeiT", "DINOV2", "DINOV3")


def network(
    backbone: Backbone, input_size: int, path: Path | None = None, *, untrained: bool = False
) -> keras.Model:
    """Network of a backbone. Keras's own come with initial weights, others with their own.

    path: of a `.keras` file, or the folder of a preset. untrained: do not read a preset's weights.
    Raises InvalidInput if the file, preset or function gives no such network, InvalidSettings if it
    does not take images of this size.
    """
    if backbone.kind == "keras":
        return pretrained(known_facts()[backbone.name].function, (input_size, input_size, 3))[0]
    if backbone.kind == "function":
        shape = (input_size, input_size, 3)
        return _as_map(own_model(backbone.name, shape), input_size, backbone)
    if backbone.kind == "hub":
        keras_hub()
    if path is None or not path.exists():
        raise InvalidInput(
            f"{backbone.short_name}: expected its files in --weights-dir, got {path or 'none'}"
        )
    if backbone.kind == "file":
        return _as_map(_of_file(path), input_size, backbone)
    return _of_hub(path, input_size, backbone, load_weights=not untrained)


def pretrained(function: str, shape: tuple[int, int, int]) -> tuple[keras.Model, dict[str, Any]]:
    """Network as Keras builds it for ImageNet's weights, and the arguments of their `get_file`.

    No file is read. EfficientNets have a layer more with such weights than without.
    """
    downloads: list[dict[str, Any]] = []

    def get_file(name: str, origin: str, **options: Any) -> str:
        downloads.append({"file_name": name, "url": origin, "digest": options.get("file_hash")})
        return name

    with (
        mock.patch("keras.src.utils.file_utils.get_file", get_file),
        mock.patch.object(keras.Model, "load_weights"),
        warnings.catch_warnings(action="ignore"),  # of sizes that weights were not trained at
    ):
        build = getattr(keras.applications, function)
        model = build(include_top=False, weights="imagenet", input_shape=shape)
    return model, downloads[0]


def _of_file(path: Path) -> keras.Model:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_classes(archive.read("config.json"), path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except InvalidInput:
        raise
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as problem:
        raise InvalidInput(
            f"{path}: expected a file that Keras's Model.save wrote, got a damaged or another one "
            f"of {path.stat().st_size:,} bytes ({first_line(problem)}); save or download it again"
        ) from problem


def _check_classes(config: bytes, path: Path) -> None:
    """Raise InvalidInput if a file's configuration names code that is not Keras's or KerasHub's.

    Keras imports any module that a configuration names.
    """
    parts = [json.loads(config)]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            module, kind = part.get("module"), part.get("class_name")
            package, is_registered, _ = str(part.get("registered_name") or kind).partition(">")
            origin = package if is_registered and module is None else str(module or "keras")
            is_named = origin.partition(".")[0] in ("keras", "keras_hub")
            if isinstance(kind, str) and (not is_named or kind in ("Lambda", "__lambda__")):
                raise InvalidInput(
                    f"{path}: expected classes of Keras alone, got {origin}.{kind}; code from a "
                    "file is not run: write a function that imports it and builds the network or "
                    "loads the file, and name the function, module:function, as the extractor"
                )
            parts += part.values()
        elif isinstance(part, list):
            parts += part


def _of_hub(
    folder: Path, input_size: int, backbone: Backbone, *, load_weights: bool
) -> keras.Model:
    """Network of a preset's folder, with the preset's scaling and its authors' pooling in it."""
    hub = keras_hub()
    for file in folder.glob("*.json"):
        _check_classes(file.read_bytes(), file)
    scale, offset = 1.0, 0.0
    with suppress(OSError, ValueError, KeyError):  # a preset need not have a converter
        converter = hub.layers.ImageConverter.from_preset(str(folder))
        scale, offset = _channels(converter.scale, 1.0), _channels(converter.offset, 0.0)
    images = keras.Input((input_size, input_size, 3))
    scaled = keras.layers.Rescaling(scale, offset, name="preset_scaling")(images)
    try:
        shape = json.loads((folder / "config.json").read_text())["config"].get("image_shape")
        own = {"image_shape": [input_size, input_size, 3]} if shape else {}
        preset = hub.models.Backbone.from_preset(str(folder), load_weights=load_weights, **own)
        output = _pooled(preset, images, scaled)
    except (OSError, KeyError, TypeError, ValueError) as problem:
        raise InvalidInput(
            f"{backbone.short_name}: expected a preset of KerasHub for images of {input_size} "
            f"pixels, got {first_line(problem)}; many take one size alone: set `input_size` to it"
        ) from problem
    return _as_map(keras.Model(images, output), input_size, backbone)


def _pooled(preset: Any, images: Any, scaled: Any) -> Any:
    """Map or vector that a preset gives: the embedding, the class token, or the mean of tokens."""
    if hasattr(preset, "get_vision_embeddings"):
        return preset.get_vision_embeddings(scaled)
    output = _applied(keras.Model(list(preset.inputs), preset.outputs[0]), images, scaled)
    if len(output.shape) != 3:
        return output
    is_named = type(preset).__name__.removesuffix("Backbone") in _WITH_CLASS_TOKEN
    has_token = is_named and getattr(preset, "use_class_token", True)
    return output[:, 0] if has_token else keras.ops.mean(output, axis=1)


def keras_hub() -> Any:
    """The package KerasHub; raises InvalidInput with the way to install it."""
    try:
        return importlib.import_module("keras_hub")
    except ImportError as problem:
        raise InvalidInput(
            f"expected the package keras-hub for a hub: extractor, found none ({problem}); install "
            "flowers17[hub] (`make setup EXTRAS=hub`)"
        ) from problem


def save_preset(preset: str, folder: Path, progress: Callable[[int, int, str], None]) -> None:
    """Fetch a preset's network and scaling by KerasHub's own download into a folder, as they are.

    One of another library is converted. Raises InvalidInput if it names code that is not Keras's or
    KerasHub's, and what the download raises.
    """
    hub = keras_hub()
    import tqdm
    from keras_hub.src.utils.preset_utils import get_file

    def shown(bar: Any, n: float = 1) -> None:
        update(bar, n)
        progress(int(bar.n), int(bar.total or 0), "bytes")

    update = tqdm.tqdm.update
    with mock.patch.object(tqdm.tqdm, "update", shown):
        for name in ("config.json", "image_converter.json", "model.weights.h5"):
            with suppress(FileNotFoundError):
                shutil.copyfile(get_file(preset, name), folder / name)
        for file in folder.glob("*.json"):
            _check_classes(file.read_bytes(), file)
        if not (folder / "model.weights.h5").exists():
            hub.models.Backbone.from_preset(preset).save_to_preset(str(folder))
            (folder / "metadata.json").unlink()  # it holds the time, and content decides keys
            with suppress(ValueError, FileNotFoundError):  # it has none
                hub.layers.ImageConverter.from_preset(preset).save_to_preset(str(folder))


def _channels(values: Any, default: float) -> Any:
    return default if values is None else np.asarray(values, np.float64).tolist()


def _as_map(model: Any, input_size: int, backbone: Backbone) -> keras.Model:
    """Functional model of images of a size that gives a map; raises if it cannot be had."""
    name = backbone.short_name
    shape: Any = getattr(model, "input_shape", None)
    output: Any = getattr(model, "output_shape", None)
    takes_images = isinstance(shape, tuple) and len(shape) == 4 and shape[3] == 3
    if not (takes_images and isinstance(output, tuple)):
        raise InvalidInput(
            f"{name}: expected a functional or sequential Keras model of images (s, s, 3) with one "
            f"output, got {type(model).__name__} with input {shape} and output {output}"
            + "; did the function forget `return`?"
            * (model is None)
        )
    if len(output) == 2:
        _check_top(model, name)
    sides = {side for side in shape[1:3] if side is not None}
    if len(sides) == 2:
        raise InvalidInput(f"{name}: expected a square input, got {shape[1]} × {shape[2]}")
    if sides - {input_size}:
        raise InvalidSettings(
            f"extractor {name}: expected an `input_size` of {sides.pop()}, which the network "
            f"takes, got {input_size}"
        )
    images = keras.Input((input_size, input_size, 3))
    try:
        tensor = _applied(keras.Model(model.inputs, model.outputs[0]), images, images)
    except ValueError as problem:
        raise InvalidSettings(
            f"extractor {name}: expected an `input_size` that the network takes, got {input_size} "
            f"({first_line(problem)}); give a larger one"
        ) from problem
    if len(tensor.shape) == 2:
        tensor = keras.layers.Reshape((1, 1, tensor.shape[1]), name="as_map")(tensor)
    if len(tensor.shape) != 4 or None in tensor.shape[1:]:
        raise InvalidInput(
            f"{name}: expected a network that gives a map (h, w, c) or a vector (c), got "
            f"{tuple(tensor.shape[1:])}; leave its top out, or pool its tokens"
        )
    return keras.Model(images, tensor, name=model.name)


def _check_top(model: keras.Model, name: str) -> None:
    """Raise InvalidInput if the vector that a network gives is probabilities of its classes."""
    last = model.outputs[0]._keras_history.operation
    probabilities = (keras.activations.softmax, keras.activations.sigmoid)
    is_softmax = isinstance(last, keras.layers.Softmax)
    if is_softmax or getattr(last, "activation", None) in probabilities:
        *_, classifier = [last, *(layer for layer in model.layers if layer.weights)]
        before = classifier.input._keras_history.operation.name
        raise InvalidInput(
            f"{name}: expected a network without its classifier, got one that ends in "
            f"{last.name!r}, {model.output_shape[1]} probabilities of its own classes; cut it off "
            f"behind the layer {before!r}: keras.Model(model.input, "
            f"model.get_layer({before!r}).output)"
        )


def _applied(model: keras.Model, images: Any, start: Any) -> Any:
    """Output of a network's own layers one by one on a tensor made of images: a flat graph."""

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        replaced = keras.tree.map_structure(lambda x: start if x is images else x, arguments)
        return layer(*replaced, **options)

    applied = keras.models.clone_model(
        model, input_tensors=[images], clone_function=lambda layer: layer, call_function=call
    )
    return applied.outputs[0]


def first_line(problem: Exception) -> str:
    """First line of an error's message, or its type where it has none."""
    return next(iter(str(problem).strip().splitlines()), repr(problem))
