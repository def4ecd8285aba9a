"""A network of a store as one file that needs nothing of ours: Keras's own format, or ONNX.

The file takes the pixels of square images and gives class probabilities: scaling, and averaging
with the mirror image where the recipe asks for it, are in it.
"""

import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from flowers17.ancestry import by_place, family
from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput
from flowers17.prediction.models import Loader, Model

if TYPE_CHECKING:
    import keras

INPUT, OUTPUT = "image", "probabilities"
BATCH_SIZE = 32
# Rounding, which differs from machine to machine, may change the class of an image in doubt.
MAX_CHANGED = 0.01


@runtime_checkable
class Exportable(Protocol):
    """A network that can be written, such as `prediction.networks.Network`.

    differentiable: the network as it predicts, images float32 (n, s, s, 3) in [0, 1] →
    probabilities.
    """

    name: str
    classes: tuple[str, ...]
    sizes: frozenset[int]

    @property
    def differentiable(self) -> "keras.Model": ...


@dataclass(frozen=True)
class Checked:
    """What a written file says of the validation images, beside what the study stored.

    n_correct: of the n images it gets right. difference: the largest of two probabilities.
    """

    n: int
    n_correct: int
    difference: float


def check_target(path: Path) -> None:
    """Raise InvalidInput unless a model can be written to a path: its kind, folder and packages."""
    if path.suffix not in WRITERS:
        raise InvalidInput(
            f"{path}: expected a file name that ends in {' or '.join(WRITERS)}, got "
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


def exportable(model: Model) -> Exportable:
    """Return a model that can be written; raises InvalidInput for what is not one network."""
    if not isinstance(model, Exportable):
        raise InvalidInput(
            f"{model.name}: expected a network, got {type(model).__name__.lower()}, which is more "
            "than one Keras model; name a network that `flowers17 predict --list` shows"
        )
    return model


def whole(model: Exportable) -> "keras.Model":
    """Return a Keras model of uint8 images (n, s, s, 3) that gives float32 probabilities (n, c)."""
    [size] = model.sizes
    network = model.differentiable  # first: it chooses the device, which a backend reads early
    import keras

    pixels = keras.Input((size, size, 3), dtype="uint8", name=INPUT)
    images = keras.ops.divide(keras.ops.cast(pixels, "float32"), 255.0)
    proba = _of_keras_alone(network, {})(images, training=False)
    named = keras.layers.Activation("linear", dtype="float32", name=OUTPUT)
    return keras.Model(pixels, named(proba), name="flowers17")


def _of_keras_alone(network: "keras.Model", made: dict[int, "keras.Model"]) -> "keras.Model":
    """Return a network with the same weights in which layers of ours are operations of Keras's.

    made: networks done already, by identity: one that is used twice keeps one set of weights.
    """
    import keras

    from flowers17.transfer.fine_tuning import Scaled

    def called(layer: Any, *given: Any, **rest: Any) -> Any:
        if isinstance(layer, Scaled):
            return _scaled(layer, given[0])
        if isinstance(layer, keras.Model):
            layer = _of_keras_alone(layer, made)
        return layer(*given, **rest)

    if not any(isinstance(one, Scaled) for one in _layers(network)):
        return network
    if id(network) not in made:
        made[id(network)] = keras.models.clone_model(
            network, clone_function=lambda one: one, call_function=called
        )
    return made[id(network)]


def _scaled(layer: Any, images: Any) -> Any:
    """Return symbolic images as a layer `Scaled` makes them, by layers of Keras's own.

    What it does to a channel is found by trying: constants in operations don't survive ONNX.
    """
    import keras

    size, found = layer.size, images.shape[1]
    if found != size:  # enlarging has nothing to smooth, and ONNX knows no smoothing of this kind
        images = keras.ops.image.resize(images, (size, size), antialias=size < found)
    colours = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    tried = np.broadcast_to(colours[:, None, None], (4, size, size, 3))
    made = np.asarray(keras.ops.convert_to_numpy(layer(tried)))[:, 0, 0]
    slopes = made[1:] - made[0]  # of a channel that goes in to one that comes out
    order = np.abs(slopes).argmax(axis=0)
    if list(order) == [2, 1, 0]:
        images = images[..., ::-1]
    scale = slopes[order, np.arange(3)].tolist()
    return keras.layers.Rescaling(scale, made[0].tolist(), dtype="float32")(images)


def labels(model: Exportable) -> dict[str, Any]:
    """Return what a program needs beside the file: classes in order, input and output, as JSON."""
    [size] = model.sizes
    return {
        "model": model.name,
        "classes": list(model.classes),
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": [None, size, size, 3],
            "channels": "RGB",
            "range": [0, 255],
            "before": f"turn as EXIF says, cut the central square, resize it to {size} × {size} "
            "with antialiasing (bicubic)",
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [None, len(model.classes)]},
    }


def write(model: Exportable, path: Path) -> None:
    """Write a network to a file, whole or not at all; one of that name is replaced.

    path: its ending chooses the format: `.keras` or `.onnx`.
    Raises what `check_target` raises, InvalidInput for a backend that cannot write ONNX.
    """
    check_target(path)
    made = whole(model)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        new = Path(folder) / f"model{path.suffix}"
        WRITERS[path.suffix](made, labels(model), new)
        new.replace(path)


def _write_keras(made: "keras.Model", described: Mapping[str, Any], path: Path) -> None:
    made.save(path)


def _write_onnx(made: "keras.Model", described: Mapping[str, Any], path: Path) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InvalidInput(
            f"expected Keras's backend tensorflow to write ONNX, got {keras.backend.backend()}; "
            "unset KERAS_BACKEND, or write a .keras file"
        )
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    made = _in_float32(made)
    made(np.zeros((1, *made.input_shape[1:]), np.uint8))  # Keras exports only what was called
    made.export(path, format="onnx", verbose=False)
    import onnx

    graph = onnx.load(path)
    [given], [made_of] = graph.graph.input, graph.graph.output
    renamed = {given.name: INPUT, made_of.name: OUTPUT}
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for value in (given, made_of):
        value.name = renamed[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.helper.set_model_props(graph, {"labels": json.dumps(described, ensure_ascii=False)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _in_float32(model: "keras.Model") -> "keras.Model":
    """Return a model that computes in float32 throughout, with the same weights.

    ONNX's runtimes lack bfloat16 for many operations.
    """
    import keras

    def made(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _in_float32(layer)
        config = layer.get_config()
        if getattr(layer, "dtype_policy", None) and layer.compute_dtype != "float32":
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    if all(one.dtype_policy.name in ("float32", "uint8") for one in _layers(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=made)
    copy.set_weights(model.get_weights())
    return copy


def _layers(model: "keras.Model") -> list[Any]:
    import keras

    found: list[Any] = []
    for one in model.layers:
        found += _layers(one) if isinstance(one, keras.Model) else [one]
    return found


WRITERS: MappingProxyType[str, Callable[["keras.Model", Mapping[str, Any], Path], None]] = (
    MappingProxyType({".keras": _write_keras, ".onnx": _write_onnx})
)


def read(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a written file as a function of uint8 images (n, s, s, 3): float32 (n, c)."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])
    import keras

    loaded = keras.models.load_model(path, compile=False)
    return lambda images: np.asarray(keras.ops.convert_to_numpy(loaded.predict_on_batch(images)))


def checked(path: Path, artifact: Artifact, loader: Loader, size: int) -> Checked | None:
    """Return how a written file does on the images that its network's split holds out.

    size: of the images that it takes. None if the store does not tell what images those are.
    Raises InvalidInput if it takes more than one image in a hundred for another class than the
    study did.
    """
    reference = artifact.manifest["inputs"].get("split")
    origins = family(artifact.manifest, by_place(loader.store.manifests()))
    pictures = next((one for one in origins if one["stage"] == "images"), None)
    if not reference or not pictures or "proba.npy" not in artifact.manifest["files"]:
        return None
    split, images = loader.artifact(reference), loader.artifact(pictures).array("images")
    if images.shape[1] != size:
        return None
    rows, says = split.array("validation"), read(path)
    parts = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    proba = np.concatenate([says(images[part]) for part in parts])
    stored = artifact.array("proba")[rows]
    n_changed = int((proba.argmax(axis=1) != stored.argmax(axis=1)).sum())
    difference = float(np.abs(proba - stored).max())
    if not n_changed <= MAX_CHANGED * len(rows) or not np.isfinite(difference):
        raise InvalidInput(
            f"{path}: expected what the study stored, got another class for {n_changed} of "
            f"{len(rows)} images, probabilities {difference:.2g} apart; export where the network "
            "was trained, or train it again here"
        )
    n_correct = int((proba.argmax(axis=1) == split.array("labels")[rows]).sum())
    return Checked(len(rows), n_correct, difference)
