"""Learners: the CNNs of the study as data, built-in ones, and the user's own; their description.

Baseline and Mk-1 to Mk-6 are definitions, in `known/study.yaml`. `residual`, `sequential` and
`aggregated`, for the recipe `best`, are built by functions. A user's learner is a further
definition (setting `learners.definitions`) or a function `module:function`. It is called with the
input shape and the number of classes and returns a Keras model of class probabilities.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowers17.artifacts import Artifact
from flowers17.config import LearnerDefinition
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.files import yaml_beside
from flowers17.learners.builders import SMALLEST, Shape, aggregated, residual, sequential
from flowers17.learners.own_modules import own_model

if TYPE_CHECKING:
    import keras

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
Builder = Callable[[Shape, int], "keras.Model"]

STUDY: Mapping[str, LearnerDefinition] = {
    row["name"]: LearnerDefinition.model_validate(row)
    for row in yaml_beside(__file__, "known/study.yaml")
}
BUILDERS: Mapping[str, Builder] = {
    builder.__name__: builder for builder in (residual, sequential, aggregated)
}
_STORED = re.compile(r"weights/[0-9]{1,6}\.npy")


def build(
    name: str,
    input_shape: Shape = (128, 128, 3),
    n_classes: int = 17,
    *,
    definitions: Sequence[LearnerDefinition] = (),
    seed: int = 0,
) -> "keras.Model":
    """Learner with fresh weights: images float32 in [0, 1] → class probabilities.

    name: of the study (`baseline`, `mk-1` … `mk-6`), of `BUILDERS`, of one of `definitions`, or
    `module:function`. The model takes (n, *input_shape) and gives float32 (n, n_classes). Its
    last layer is the softmax alone, so that the logits are the input of it. Height and width may be
    None for learners that take any size. seed: of the initial weights and of dropout.
    Raises InvalidSettings for an unknown learner; InvalidInput if the images are too small for it,
    or there are fewer than two classes.
    """
    if len(input_shape) != 3 or any(side is not None and side < 1 for side in input_shape):
        raise InvalidInput(f"input_shape: expected (height, width, channels), got {input_shape}")
    if n_classes < 2:
        raise InvalidInput(f"n_classes: expected two classes or more, got {n_classes}")
    builder = known_builder(name, definitions) or partial(own_model, name)
    check_size(name, builder, *input_shape[:2])
    if isinstance(builder, LearnerDefinition):
        return drawn(_stacked(builder, input_shape, n_classes), seed)
    model = builder(input_shape, n_classes)
    output = getattr(model, "output_shape", None)
    if output != (None, n_classes):
        raise InvalidInput(
            f"learner {name}: expected a model with output (None, {n_classes}), got "
            f"{output or type(model).__name__}; let it end in {n_classes} class probabilities"
        )
    return drawn(model, seed)


def module_of(name: str, definitions: Sequence[LearnerDefinition] = ()) -> str | None:
    """Module of a learner's function; None for definitions and built-in learners.

    >>> module_of("mine.networks:wide"), module_of("mk-1")
    ('mine.networks', None)
    """
    if name in {*STUDY, *BUILDERS, *(definition.name for definition in definitions)}:
        return None
    module, colon, _ = name.partition(":")
    return module if colon else None


def known_builder(
    name: str, definitions: Sequence[LearnerDefinition] = ()
) -> LearnerDefinition | Builder | None:
    """Definition or function of this project that builds a learner; None for `module:function`.

    The module of a user's own one is not imported. Raises InvalidSettings for an unknown learner.
    """
    own = {definition.name: definition for definition in definitions}
    builders: dict[str, LearnerDefinition | Builder] = {**STUDY, **BUILDERS, **own}
    if name not in builders and module_of(name, definitions) is None:
        raise InvalidSettings(
            f"learner: expected one of {', '.join(builders)}, or module:function, "
            f"got {name!r}; define it under learners.definitions"
        )
    return builders.get(name)


def drawn(model: "keras.Model", seed: int) -> "keras.Model":
    """Draw initial weights and dropout states again, from the seed alone; fixed seeds stay.

    Keras seeds them from Python's process-wide generator, which other threads use too. Nested
    models and layers are included. A weight is found by the name of its initializer, as in Keras's
    layers (`kernel_initializer`).
    """
    draws = random.Random(seed)
    for layer in model._flatten_layers(include_self=False):  # `layers` has the outermost alone
        for weight, initializer in _initialized(layer):
            config = initializer.get_config()
            if config.get("seed", 0) is None:
                config["seed"] = draws.randint(1, 10**9)
                initializer = initializer.from_config(config)
                weight.assign(initializer(weight.shape, dtype=weight.dtype))
        generator = getattr(layer, "seed_generator", None)
        if generator is not None and generator.get_config()["seed"] is None:
            generator.state.assign([draws.randint(1, 10**9), 0])
    return model


def _initialized(layer: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the weights of a layer with their initializers."""
    import keras

    for name, initializer in sorted(vars(layer).items()):
        stem = name.removesuffix("_initializer")
        if stem != name and isinstance(initializer, keras.Initializer):
            # The kernel of DepthwiseConv2D is its only one, and has no other name.
            names = (stem, f"{stem}_kernel", *(["kernel"] if stem == "depthwise" else []))
            for weight_name in names:
                weight = getattr(layer, weight_name, None)
                if isinstance(weight, keras.Variable):
                    yield weight, initializer


def smallest_size(builder: LearnerDefinition | Builder | None) -> int:
    """Smallest side of the images that a learner can read, in pixels; 1 if unknown.

    builder: None for a user's own function that is not imported.

    At least one pixel must remain after the pools of a definition.

    >>> smallest_size(STUDY["mk-1"]), smallest_size(STUDY["mk-5"]), smallest_size(residual)
    (16, 74, 32)
    """
    if not isinstance(builder, LearnerDefinition):
        return SMALLEST if builder in BUILDERS.values() else 1
    side = 1
    for block in reversed(builder.blocks):
        side = 2 * side + (2 * len(block) if builder.padding == "valid" else 0)
    return side


def check_size(
    name: str,
    builder: LearnerDefinition | Builder | None,
    height: int | None,
    width: int | None,
) -> None:
    """Raise InvalidInput if a learner cannot read images of a size; a side of None is any size."""
    smallest, takes_any_size = smallest_size(builder), not isinstance(builder, LearnerDefinition)
    if any(not takes_any_size if side is None else side < smallest for side in (height, width)):
        raise InvalidInput(
            f"learner {name}: expected images of at least {smallest} × {smallest} pixels, got "
            f"{height} × {width}; raise dataset.image_size or leave the learner out"
        )


def _stacked(definition: LearnerDefinition, input_shape: Shape, n_classes: int) -> "keras.Model":
    from keras import Input, Model, layers

    inputs = Input(input_shape, name="image")
    x = inputs
    for number, block in enumerate(definition.blocks, start=1):
        for position, filters in enumerate(block, start=1):
            x = layers.Conv2D(
                filters,
                3,
                padding=definition.padding,
                activation=definition.activation,
                name=f"block{number}_conv{position}",
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(definition.dense, activation=definition.activation, name="dense")(x)
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    return Model(inputs, x, name=definition.name)


def load_weights(model: "keras.Model", artifact: Artifact, command: str) -> None:
    """Load the weights in a training's artifact, one file each in Keras's order, into a model.

    command: of `flowers17` that repeats the training, for the error. Raises InvalidInput for
    weights of other shapes.
    """
    names = [name for name in artifact.manifest["files"] if _STORED.fullmatch(name)]
    names.sort(key=lambda name: int(Path(name).stem))
    values = [artifact.array(name.removesuffix(".npy")) for name in names]
    expected_shapes = [tuple(weight.shape) for weight in model.weights]
    shapes = [value.shape for value in values]
    if expected_shapes != shapes:
        raise InvalidInput(
            f"{artifact.manifest['label']}: expected weights of shapes {expected_shapes}, as this "
            f"version builds {model.name}, got {shapes}; run `flowers17 {command}` again"
        )
    for variable, value in zip(model.weights, values, strict=True):
        variable.assign(value)


def layers_of(model: "keras.Model") -> list[Any]:
    """Layers of a model in order, nested models replaced by their own layers."""
    from keras import Model

    flat_layers = []
    for layer in model.layers:
        flat_layers += layers_of(layer) if isinstance(layer, Model) else [layer]
    return flat_layers


def layer_table(model: "keras.Model") -> list[dict[str, Any]]:
    """Name, kind, output shape without the batch, and parameters of each layer."""
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "output_shape": list(layer.output.shape[1:]),
            "parameters": int(layer.count_params()),
        }
        for layer in model.layers
    ]


def n_operations(model: "keras.Model") -> int:
    """Floating-point operations (FLOPs) of one image's forward pass.

    Convolutions and dense layers count, a multiplication and an addition for each product; other
    layers cost little beside them. The model must be built for a fixed image size; a nested model
    counts at the size that it was built for. Nested models of any size and layers inside layers
    do not count, since Keras does not give the size of their outputs.
    """
    total = 0
    for layer in layers_of(model):
        kernels: list[Any] = [getattr(layer, name, None) for name in KERNELS]
        n_weights = sum(math.prod(kernel.shape) for kernel in kernels if hasattr(kernel, "shape"))
        nodes = getattr(layer, "_inbound_nodes", ())  # the last is of the size it was built for
        sides = nodes[-1].outputs[0].shape[1:-1] if n_weights and nodes else (None,)
        if None not in sides:
            total += 2 * math.prod(sides) * n_weights
    return total
