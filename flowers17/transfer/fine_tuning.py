"""Fine-tuning: an extractor cut in two, a head, and the networks that the two phases train.

The frozen part of a network is computed in inference mode, its batch normalisation by the moving
averages that came with the weights. What it gives does not change while the rest is trained, so it
can be stored; a network over stored activations and one over images end with the same bits.

Every network needs a freshly built extractor: a layer that was trainable once stays so.
"""

import importlib
from typing import Any, Literal

import keras

from flowers17.config import HeadSettings
from flowers17.errors import InvalidSettings
from flowers17.learners.networks import drawn
from flowers17.transfer.blocks import blocks_from, place_before
from flowers17.transfer.weights import extractor_facts

Pooling = Literal["flatten", "average"]


def cut(
    extractor: keras.Model, name: str, block: str | None
) -> tuple[keras.Model, keras.Model | None]:
    """Return an extractor's part below a block, frozen, and the part from it on, to be trained.

    extractor: as `build_extractor` returns it, just built. block: as `blocks.BLOCKS` names it;
    None: nothing is to be trained, and the first part is the whole. The parts share its weights.
    Raises InvalidSettings for a block that there is not.
    """
    extractor.trainable = False
    if block is None:
        return extractor, None
    tensor = _tensor_before(extractor, name, block)
    lower = keras.Model(extractor.inputs, tensor, name=f"{name}-frozen")
    upper = keras.Model(tensor, extractor.output, name=f"{name}-unfrozen")
    for one in upper.layers:
        one.trainable = True
    return lower, upper


def _tensor_before(extractor: keras.Model, name: str, block: str) -> Any:
    place = place_before(name, block)
    layer = extractor.get_layer(place.layer)
    return layer.output if place.behind else layer.input


def rates_by_block(
    model: keras.Model, extractor: keras.Model, name: str, block: str, *, decay: float
) -> tuple[float, ...]:
    """Return the rate of each of a network's trainable variables, as a part of the head's.

    It is 1 in the head, decay in the last block, and a further decay times that in each before it.
    model: of `network` or `over_images`. extractor, block: what was cut and where, as in `cut`.
    decay: in (0, 1]; 1: all rates are equal.
    Raises InvalidSettings for another decay, or a block that there is not.
    Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2.
    """
    if not 0 < decay <= 1:
        raise InvalidSettings(
            f"fine_tuning.own_layer_decay: expected a factor in (0, 1], got {decay}; 1 trains all "
            "at one rate"
        )
    steps_back: dict[int, int] = {}
    blocks = blocks_from(name, block)
    for place, one in enumerate(blocks):  # what later blocks hold is overwritten by them
        behind = keras.Model(_tensor_before(extractor, name, one), extractor.output)
        steps_back |= {id(variable): len(blocks) - place for variable in behind.weights}
    return tuple(decay ** steps_back.get(id(one), 0) for one in model.trainable_variables)


def network(
    upper: keras.Model | None,
    map_shape: tuple[int, ...],
    n_classes: int,
    *,
    pooling: Pooling,
    units: int,
    head: HeadSettings,
    seed: int,
    name: str = "fine-tuned",
) -> keras.Model:
    """Return the part of a network that is trained: activations float32 → class probabilities.

    upper: of `cut`, or None for the head alone. map_shape: (h, w, c) of the extractor's feature
    map. seed: of the head's initial weights and of its dropout. The model's last layer is the
    softmax alone.
    """
    on_top = _head(map_shape, n_classes, pooling, units, head, seed)
    taken = tuple(upper.input_shape[1:]) if upper else map_shape
    inputs = keras.Input(taken, name="activations")
    logits = on_top(upper(inputs) if upper else inputs)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits), name=name)


def _head(
    map_shape: tuple[int, ...],
    n_classes: int,
    pooling: Pooling,
    units: int,
    head: HeadSettings,
    seed: int,
) -> keras.Model:
    from keras import layers

    inputs = keras.Input(map_shape, name="feature_map")
    pool = layers.Flatten() if pooling == "flatten" else layers.GlobalAveragePooling2D()
    x = layers.Dense(units, name="dense")(pool(inputs))
    x = layers.BatchNormalization(name="dense_bn")(x) if head.batch_norm else x
    x = layers.ReLU(name="dense_relu")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x) if head.dropout else x
    x = layers.Dense(n_classes, dtype="float32", name="logits")(x)
    return drawn(keras.Model(inputs, x, name="head"), seed)


def over_images(
    lower: keras.Model, trained: keras.Model, name: str, *, image_size: int | None = None
) -> keras.Model:
    """Return the whole network: images float32 (n, size, size, 3) in [0, 1] → probabilities.

    lower: of `cut`. trained: of `network`. name: the extractor's. image_size: of the images; where
    it is not the extractor's input size, the network resizes them, bilinearly and antialiased.
    Scaling is the extractor's own, which Keras calls `preprocess_input`.
    """
    size = lower.input_shape[1]
    inputs = keras.Input((image_size or size, image_size or size, 3), name="image")
    activations = lower(Scaled(extractor_facts(name).module, size)(inputs))
    softmax = trained.layers[-1]
    logits = keras.Model(trained.inputs, softmax.input, name="trained")(activations)
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits), name=trained.name)


@keras.saving.register_keras_serializable("flowers17")
class Scaled(keras.layers.Layer):
    """Pixels in [0, 1] as a family of extractors expects them, at its input size; no weights.

    module: of `keras.applications` whose `preprocess_input` is applied to values 0 to 255.
    """

    def __init__(self, module: str, size: int, **rest: Any) -> None:
        super().__init__(**({"dtype": "float32"} | rest))
        self.module, self.size = module, size

    def call(self, images: Any) -> Any:
        """Return (n, size, size, 3) scaled pixels of (n, h, w, 3) images."""
        applications = importlib.import_module(f"keras.applications.{self.module}")
        sides = (self.size, self.size)
        if tuple(images.shape[1:3]) != sides:  # a Resizing layer would switch dropout on
            images = keras.ops.image.resize(images, sides, antialias=True)
        return applications.preprocess_input(images * 255.0, data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the scaled pixels."""
        return (input_shape[0], self.size, self.size, 3)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is built from."""
        return {**super().get_config(), "module": self.module, "size": self.size}


def head_of(model: keras.Model) -> keras.Model:
    """Return the head inside a network of `network`."""
    found: keras.Model = model.get_layer("head")
    return found
