"""A model of a store as one file that does not need flowers17: `.keras`, or ONNX.

The file takes the pixels of square images and gives class probabilities: scaling, averaging with
the mirror image where the recipe has it, classifiers on features and an ensemble's combination are
in it. One long module, since both formats are written from one graph, read back and checked.
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.learners.devices import silence
from flowers17.learners.networks import layers_of
from flowers17.prediction.evidence import images_of, own_predictions
from flowers17.prediction.models import Loader, Model
from flowers17.prediction.onnx_operations import convertible, rescaling, resized

if TYPE_CHECKING:
    import keras

INPUT, OUTPUT = "image", "probabilities"
ENDINGS = (".keras", ".onnx")
BATCH_SIZE = 32
# Between probabilities of one model: float32 for float64, bfloat16, another machine.
TOLERANCE = 0.05
# The share of images, at least one, on the border between two branches of a tree or two votes:
# rounding moves them by the worth of a vote.
MAX_MOVED = 0.01
_SQUARED = {
    "crop": "cut the central square, resize it to {size} × {size} with antialiasing (bicubic)",
    "pad": "resize it with antialiasing (bicubic) so that its longer side has {size} pixels, lay "
    "it in the middle of a black square of {size} × {size}",
    "stretch": "resize it to {size} × {size} with antialiasing (bicubic), its sides unequally",
}


@dataclass(frozen=True)
class FileCheck:
    """An exported file's predictions of the images of `own_predictions`, compared with those.

    n_correct: of n images. difference: the largest between two probabilities.
    """

    n: int
    n_correct: int
    difference: float


def check_target(path: Path) -> None:
    """Raise InvalidInput unless a model can be written to a path: its kind, folder and packages."""
    if path.suffix not in ENDINGS:
        raise InvalidInput(
            f"{path}: expected a file name that ends in {' or '.join(ENDINGS)}, got "
            f"{path.suffix or 'no ending'!r}; the ending chooses the format"
        )
    if not path.parent.is_dir():
        raise InvalidInput(f"{path}: expected an existing folder, found none; make {path.parent}")
    lacking = [
        name
        for name in ("onnx", "tf2onnx", "onnxruntime")
        if path.suffix == ".onnx" and importlib.util.find_spec(name) is None
    ]
    if lacking:
        raise InvalidInput(
            f"{path}: expected the packages that write and check ONNX, found no "
            f"{', '.join(lacking)}; install flowers17[onnx] (`make setup EXTRAS=onnx`), or write "
            "a .keras file"
        )


def keras_model(model: Model) -> "keras.Model":
    """Return a Keras model of uint8 images (n, s, s, 3) that gives float32 probabilities (n, c).

    It has an input for each of the model's sizes, as `input_names` names them. The process must
    have been set up before: see `models.Loader.building`.
    """
    import keras

    names = input_names(model)
    images = {size: keras.Input((size, size, 3)) for size in names}
    network = keras.Model(list(images.values()), model.applied(images))
    pixels = [keras.Input((size, size, 3), dtype="uint8", name=names[size]) for size in names]
    floats = [keras.ops.divide(keras.ops.cast(image, "float32"), 255.0) for image in pixels]
    proba = _of_keras_alone(network, {})(floats, training=False)
    output = keras.layers.Activation("linear", dtype="float32", name=OUTPUT)
    return keras.Model(pixels, output(proba), name="flowers17")


def input_names(model: Model) -> dict[int, str]:
    """Return the names of a file's inputs by the sides of their squares, the smallest first."""
    sizes = sorted(model.sizes)
    return {size: INPUT if len(sizes) == 1 else f"{INPUT}_{size}" for size in sizes}


def _of_keras_alone(network: "keras.Model", converted: dict[int, "keras.Model"]) -> "keras.Model":
    """A network with the same weights, in which layers of flowers17 are operations of Keras.

    converted: networks by identity: a network that is used twice keeps one set of weights.
    """
    import keras

    from flowers17.transfer.fine_tuning import Frozen, Scaled

    def applied(layer: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, Scaled):
            return _scaled(layer, arguments[0])
        if isinstance(layer, keras.layers.Normalization):
            layer = rescaling(layer)
        elif isinstance(layer, keras.Model):
            layer = _of_keras_alone(layer, converted)
        return layer(*arguments, **options)

    if id(network) not in converted:
        plain = network
        kinds = (Scaled, keras.layers.Normalization)
        if any(isinstance(layer, kinds) for layer in layers_of(network)):
            plain = keras.models.clone_model(
                network, clone_function=lambda layer: layer, call_function=applied
            )
        if isinstance(network, Frozen):
            plain = keras.Model(plain.inputs, plain.outputs, name=network.name)
        converted[id(network)] = plain
    return converted[id(network)]


def _scaled(layer: Any, images: Any) -> Any:
    """Symbolic images as a layer `Scaled` scales them, by layers of Keras alone.

    Its factors are measured on four images: constants in operations do not survive ONNX.
    """
    import keras

    size, side = layer.size, images.shape[1]
    if side != size:
        images = resized(images, size)
    colours = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    probe = np.broadcast_to(colours[:, None, None], (4, size, size, 3))
    outputs = np.asarray(keras.ops.convert_to_numpy(layer(probe)))[:, 0, 0]
    slopes = outputs[1:] - outputs[0]  # of a channel that goes in to one that comes out
    order = np.abs(slopes).argmax(axis=0)
    if list(order) == [2, 1, 0]:
        images = images[..., ::-1]
    scale = slopes[order, np.arange(3)].tolist()
    return keras.layers.Rescaling(scale, outputs[0].tolist(), dtype="float32")(images)


def labels(model: Model) -> dict[str, Any]:
    """Classes in order, inputs and output, as JSON, for the program that uses the file."""
    white = 2**model.depth - 1
    return {
        "model": model.name,
        "resize": model.resize,
        "white": white,
        "classes": list(model.classes),
        "inputs": [
            {
                "name": name,
                "dtype": "uint8",
                "shape": [None, size, size, 3],
                "channels": "RGB",
                "range": [0, 255],
                "before": "turn as EXIF says, lay what is transparent on white, divide 16-bit "
                f"grey by {white / 255:.6g}, {_SQUARED[model.resize].format(size=size)}",
            }
            for size, name in input_names(model).items()
        ],
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [None, len(model.classes)]},
    }


def write(model: Model, path: Path) -> None:
    """Write a model to a file, not yet checked: see `file_check`.

    path: its ending chooses the format: `.keras` or `.onnx`.
    Raises what `check_target` raises, InvalidInput for a backend that cannot write ONNX.
    """
    check_target(path)
    network = keras_model(model)
    if path.suffix == ".onnx":
        _write_onnx(network, labels(model), path)
    else:
        network.save(path)


def _write_onnx(network: "keras.Model", description: Mapping[str, Any], path: Path) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InvalidInput(
            f"expected Keras's backend tensorflow to write ONNX, got {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow, or write a .keras file"
        )
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    for layer in layers_of(network):  # ONNX runtimes lack bfloat16 for many operations
        if layer.dtype_policy.name not in ("float32", "uint8"):
            layer.dtype_policy = "float32"
    for layer in network._flatten_layers():
        for name, value in list(vars(layer).items()):
            if keras.ops.is_tensor(value):  # ONNX would take it for an input
                setattr(layer, name, np.asarray(value))
    # Keras exports only what was called.
    network([np.zeros((1, *item.shape[1:]), np.uint8) for item in network.inputs])
    with warnings.catch_warnings(action="ignore"), silence(), convertible():
        network.export(path, format="onnx", verbose=False)
    import onnx

    graph = onnx.load(path)
    [output] = graph.graph.output
    sides = {item["shape"][1]: item["name"] for item in description["inputs"]}
    renamed = {
        item.name: sides[item.type.tensor_type.shape.dim[1].dim_value] for item in graph.graph.input
    }
    renamed[output.name] = OUTPUT
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for value in (*graph.graph.input, output):
        value.name = renamed[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.helper.set_model_props(graph, {"labels": json.dumps(description, ensure_ascii=False)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def read(path: Path) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """An exported file as a function of uint8 images (n, s, s, 3) by input: float32 (n, c)."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: np.asarray(session.run([OUTPUT], dict(images))[0])
    import keras

    try:
        loaded = keras.models.load_model(path, compile=False)
    except TypeError as problem:  # of a layer of KerasHub
        raise InvalidInput(
            f"{path}: expected layers that Keras can read back, got one that it cannot; write a "
            ".onnx file instead"
        ) from problem
    names = [tensor.name for tensor in loaded.inputs]

    def proba_of(images: Mapping[str, np.ndarray]) -> np.ndarray:
        proba = loaded.predict_on_batch([images[name] for name in names])
        return np.asarray(keras.ops.convert_to_numpy(proba))

    return proba_of


def file_check(path: Path, model: Model, artifact: Artifact, loader: Loader) -> FileCheck | None:
    """Compare an exported file with the store on the images that measured the model.

    None if the store does not have those images. Raises InvalidInput if more than 1 % of the
    images, and more than one, have a probability that is over TOLERANCE from the stored one, or
    another class though the stored one leads by over TOLERANCE.
    """
    stored, images = own_predictions(artifact, loader), images_of(artifact, loader)
    if stored is None or not model.sizes <= images.keys():
        return None
    proba_of, n = read(path), len(stored.rows)
    batches = [stored.rows[start : start + BATCH_SIZE] for start in range(0, n, BATCH_SIZE)]
    names = input_names(model)
    proba = np.concatenate(
        [proba_of({name: images[size][batch] for size, name in names.items()}) for batch in batches]
    )
    differences = np.abs(proba - stored.proba).max(axis=1)
    second, first = np.sort(stored.proba, axis=1)[:, -2:].T
    is_changed = proba.argmax(axis=1) != stored.proba.argmax(axis=1)
    is_moved = (differences > TOLERANCE) | (is_changed & (first - second > TOLERANCE))
    n_moved, difference = int(is_moved.sum()), float(differences.max())
    if n_moved > max(1, MAX_MOVED * n) or not np.isfinite(difference):
        raise InvalidInput(
            f"{path.name}: expected the probabilities that the study stored, within {TOLERANCE}, "
            f"got others for {n_moved} of {n} images, up to {difference:.2g} apart; export where "
            "the model was trained, or train it again here"
        )
    return FileCheck(n, int((proba.argmax(axis=1) == stored.labels).sum()), difference)
