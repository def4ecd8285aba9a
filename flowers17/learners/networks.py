"""The learners of the study as data, and the one function that builds any learner.

Baseline and Mk-1 to Mk-6 are rows of a table. `residual`, `sequential` and `aggregated` are ours,
for the recipe `best`. A learner of your own is a further row (setting `learners.definitions`) or a
function `module:function`, called with the input's shape and the number of classes, that returns a
Keras model of class probabilities.
"""

import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowers17.config import LearnerDefinition
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.ours import SMALLEST, Shape, aggregated, residual, sequential

if TYPE_CHECKING:
    import keras

Builder = Callable[[Shape, int], "keras.Model"]

STUDY: MappingProxyType[str, LearnerDefinition] = MappingProxyType(
    {
        one.name: one
        for one in (
            LearnerDefinition(name="baseline", blocks=((32,),), dense=64),
            LearnerDefinition(name="mk-1", blocks=((64,), (128,), (256,), (512,)), dense=512),
            LearnerDefinition(name="mk-2", blocks=((32, 32), (64, 64), (128, 256)), dense=512),
            LearnerDefinition(
                name="mk-3",
                blocks=((32, 64), (128, 128, 128), (256, 256), (512, 512)),
                dense=1024,
            ),
            LearnerDefinition(
                name="mk-4",
                blocks=((32, 32), (64, 64), (128, 256)),
                dense=512,
                padding="valid",
                activation="leaky_relu",
            ),
            LearnerDefinition(
                name="mk-5",
                blocks=((64,), (128, 128), (256, 256), (256, 512)),
                dense=1024,
                padding="valid",
                activation="tanh",
            ),
            LearnerDefinition(
                name="mk-6",
                blocks=((64, 64), (64, 128), (256, 256)),
                dense=512,
                activation="leaky_relu",
            ),
        )
    }
)
OURS: MappingProxyType[str, Builder] = MappingProxyType(
    {one.__name__: one for one in (residual, sequential, aggregated)}
)


def build(
    name: str,
    input_shape: Shape = (128, 128, 3),
    n_classes: int = 17,
    *,
    definitions: Sequence[LearnerDefinition] = (),
    seed: int = 0,
) -> "keras.Model":
    """Return a learner with fresh weights: images float32 in [0, 1] → class probabilities.

    name: of the study (`baseline`, `mk-1` … `mk-6`), of our own (`OURS`), of one of `definitions`,
    or `module:function`. The model takes (n, *input_shape) and gives float32 (n, n_classes). Its
    last layer is the softmax alone, so that the logits are the input of it. Height and width may be
    None for learners that take any size. seed: of the initial weights and of dropout.
    Raises InvalidSettings for an unknown learner; InvalidInput if the images are too small for it,
    or there are fewer than two classes.
    """
    _check(input_shape, n_classes)
    builder = builder_of(name, definitions)
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
    """Return the module that a learner's function comes from; None for rows, and for ours.

    >>> module_of("mine.networks:wide"), module_of("mk-1")
    ('mine.networks', None)
    """
    if name in STUDY or name in OURS or any(name == one.name for one in definitions):
        return None
    module, colon, _ = name.partition(":")
    return module if colon else None


def builder_of(
    name: str, definitions: Sequence[LearnerDefinition] = ()
) -> LearnerDefinition | Builder:
    """Return the definition or the function that makes a learner; raises InvalidSettings."""
    own = {one.name: one for one in definitions}
    if name in own:
        return own[name]
    if name in STUDY:
        return STUDY[name]
    if name in OURS:
        return OURS[name]
    module, function = module_of(name, definitions), name.partition(":")[2]
    if module is None:
        raise InvalidSettings(
            f"learner: expected one of {', '.join([*STUDY, *OURS, *own])}, or module:function, got "
            f"{name!r}; define it under learners.definitions"
        )
    try:
        found: Builder = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as problem:
        raise InvalidSettings(
            f"learner {name!r}: expected a function that can be imported, got {problem}; put its "
            "module where Python finds it (PYTHONPATH)"
        ) from problem
    return found


def drawn(model: "keras.Model", seed: int) -> "keras.Model":
    """Draw anew, from the seed alone, what has no seed of its own: weights, and dropout's states.

    Keras seeds them from Python's process-wide generator, which other threads use as well. Layers
    inside models and other layers count; a weight is known by the name of its initializer, as
    Keras's own layers have it (`kernel_initializer`).
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
    """Yield the weights of a layer whose initializers it keeps, and these."""
    import keras

    for name, initializer in sorted(vars(layer).items()):
        stem = name.removesuffix("_initializer")
        if stem != name and isinstance(initializer, keras.Initializer):
            # The kernel of DepthwiseConv2D is its only one, and has no other name.
            names = (stem, f"{stem}_kernel", *(["kernel"] if stem == "depthwise" else []))
            found = (getattr(layer, one, None) for one in names)
            yield from ((one, initializer) for one in found if isinstance(one, keras.Variable))


def _check(input_shape: Shape, n_classes: int) -> None:
    if len(input_shape) != 3 or any(one is not None and one < 1 for one in input_shape):
        raise InvalidInput(f"input_shape: expected (height, width, channels), got {input_shape}")
    if n_classes < 2:
        raise InvalidInput(f"n_classes: expected two classes or more, got {n_classes}")


def smallest_size(found: LearnerDefinition | Builder) -> int:
    """Return the side of the smallest images that a learner can read, 1 if that is not known.

    The pools of a definition have to leave a pixel of them.

    >>> smallest_size(STUDY["mk-1"]), smallest_size(STUDY["mk-5"]), smallest_size(residual)
    (16, 74, 32)
    """
    if not isinstance(found, LearnerDefinition):
        return SMALLEST if found in OURS.values() else 1
    side = 1
    for block in reversed(found.blocks):
        side = 2 * side + (2 * len(block) if found.padding == "valid" else 0)
    return side


def check_size(
    name: str, found: LearnerDefinition | Builder, height: int | None, width: int | None
) -> None:
    """Raise InvalidInput if a learner cannot read images of that size; None stands for any."""
    needed, any_size = smallest_size(found), not isinstance(found, LearnerDefinition)
    if any(not any_size if side is None else side < needed for side in (height, width)):
        raise InvalidInput(
            f"learner {name}: expected images of at least {needed} × {needed} pixels, got "
            f"{height} × {width}; raise dataset.image_size or leave the learner out"
        )


def _stacked(definition: LearnerDefinition, input_shape: Shape, n_classes: int) -> "keras.Model":
    from keras import Input, Model, layers

    inputs = Input(input_shape, name="image")
    x = inputs
    for number, block in enumerate(definition.blocks, start=1):
        for place, filters in enumerate(block, start=1):
            x = layers.Conv2D(
                filters,
                3,
                padding=definition.padding,
                activation=definition.activation,
                name=f"block{number}_conv{place}",
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(definition.dense, activation=definition.activation, name="dense")(x)
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    return Model(inputs, x, name=definition.name)
