"""Cutting an extractor, heads, and training over stored activations as over images."""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.backbones.facts import known_facts
from flowers17.config import HeadSettings, RecipeSettings
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.devices import Convolutions, prepare
from flowers17.learners.evaluation import probabilities
from flowers17.learners.examples import Examples
from flowers17.learners.fast_layers import accelerate, fast_layers
from flowers17.learners.training import train
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.fine_tuning import (
    cut,
    image_network,
    rates_by_block,
    trainable_network,
)
from tests.support.tiny_backbone import BACKBONE

SIZE, N_CLASSES, SEED = 32, 3, 5
BLOCKS = {name: facts.cuts.blocks for name, facts in known_facts().items()}
BLOCK = {"mobilenet": "block12", "vgg16": "block5", BACKBONE: "block3"}
FULL = HeadSettings(optimizer="adam", batch_norm=True, dropout=0.5)
BARE = HeadSettings(optimizer="adam")
# Of batches of one size, since each is compiled.
TWO_EPOCHS = RecipeSettings(epochs=2, batch_size=10, learning_rate=1e-3)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    prepare("cpu", "float32", SEED)


def _extractor(name: str, size: int = SIZE) -> keras.Model:
    return build_extractor(name, input_size=size, weights_path=None, seed=SEED, untrained=True)


@cache
def _shared(name: str) -> keras.Model:
    """Extractor at its smallest size, for tests that change no weight of it."""
    return _extractor(name, max(SIZE, known_facts()[name].min_size))


def _parts(
    name: str, block: str | None, head: HeadSettings = BARE
) -> tuple[keras.Model, keras.Model]:
    """Frozen part of a fresh extractor, and a network to train."""
    extractor = _extractor(name)
    map_shape = tuple(extractor.output_shape[1:])
    lower, upper = cut(extractor, name, block)
    trainable = trainable_network(
        upper, map_shape, N_CLASSES, pooling="flatten", units=16, head=head, seed=SEED, name=name
    )
    return lower, trainable


def _images(n: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


def _examples(inputs: np.ndarray, **rest: Any) -> Examples:
    labels = np.arange(len(inputs)) % N_CLASSES
    return Examples(inputs, labels, np.arange(20), np.arange(20, len(inputs)), N_CLASSES, **rest)


def _stored(lower: keras.Model, name: str, images: np.ndarray) -> np.ndarray:
    features = feature_maps(lower, images, extractor=name, input_size=SIZE)
    return features.reshape(len(images), *lower.output_shape[1:])


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.weights]


def _fitted(
    model: keras.Model, examples: Examples, folder: Path, **rest: Any
) -> list[dict[str, float]]:
    return train(model, examples, TWO_EPOCHS, "none", seed=SEED, folder=folder, **rest).history


class TestStoredAndComputedActivations:
    @pytest.mark.parametrize(
        ("name", "phase", "convolutions"),
        [
            (BACKBONE, "a", "direct"),
            # MobileNet in phase b, with rates by block: test_backbones.py.
            # Phase a is a head, of any extractor.
            (BACKBONE, "b", "winograd"),
            pytest.param("mobilenet", "a", "direct", marks=pytest.mark.long),
            pytest.param("mobilenet", "b", "winograd", marks=pytest.mark.long),
            pytest.param("vgg16", "b", "direct", marks=pytest.mark.long),
            pytest.param("vgg16", "b", "winograd", marks=pytest.mark.long),
        ],
    )
    def test_end_with_the_same_bits(
        self, tmp_path: Path, name: str, phase: str, convolutions: Convolutions
    ) -> None:
        block = BLOCK[name] if phase == "b" else None
        head = BARE if (name, phase) == ("vgg16", "b") else FULL
        lower, small = _parts(name, block, head)
        images = _images()
        stored = _examples(_stored(lower, name, images))
        frozen, large = _parts(name, block, head)
        before = _values(frozen)
        over_images = image_network(frozen, large, name)
        if convolutions == "winograd":
            accelerate(small)
            accelerate(over_images)
            assert fast_layers(small) == fast_layers(over_images) != []
        assert _fitted(small, stored, tmp_path / "stored") == _fitted(
            over_images, _examples(images), tmp_path / "computed"
        )
        for small_weight, large_weight in zip(_values(small), _values(large), strict=True):
            assert np.array_equal(small_weight, large_weight)
        assert np.array_equal(
            probabilities(small, stored.inputs), probabilities(over_images, images)
        )
        # Batch norm of the frozen part keeps its moving averages.
        for small_weight, large_weight in zip(before, _values(frozen), strict=True):
            assert np.array_equal(small_weight, large_weight)

    def test_of_mirrored_images_are_drawn_for_half_of_the_images(self, tmp_path: Path) -> None:
        lower, small = _parts(BACKBONE, None)
        images = _images()
        stored, mirrored = (
            _stored(lower, BACKBONE, pixels) for pixels in (images, images[:, :, ::-1])
        )
        mirrored_history = _fitted(small, _examples(stored, mirrored=mirrored), tmp_path / "both")
        repeated = _fitted(
            _parts(BACKBONE, None)[1], _examples(stored, mirrored=mirrored), tmp_path / "again"
        )
        plain = _fitted(_parts(BACKBONE, None)[1], _examples(stored), tmp_path / "plain")
        assert mirrored_history == repeated
        assert [epoch["loss"] for epoch in mirrored_history] != [epoch["loss"] for epoch in plain]


class TestCut:
    @pytest.mark.parametrize(
        "name",
        [
            "mobilenet",
            "xception",
            pytest.param("vgg16", marks=pytest.mark.long),
            pytest.param("inceptionv3", marks=pytest.mark.long),
        ],
    )
    def test_at_the_first_and_last_block_the_parts_together_give_what_the_whole_gives(
        self, name: str
    ) -> None:
        extractor = _shared(name)
        images = np.random.default_rng(2).random((2, *extractor.input_shape[1:]), np.float32)
        expected = np.asarray(extractor(images))
        for block in (list(BLOCKS[name])[1], list(BLOCKS[name])[-1]):
            lower, upper = cut(extractor, name, block)
            assert upper is not None
            assert np.array_equal(np.asarray(upper(lower(images))), expected), block
            inside = {id(weight) for part in (lower, upper) for weight in part.weights}
            assert len(inside) == len(extractor.weights), block

    @pytest.mark.parametrize(
        "name",
        ["vgg16", "mobilenet", "xception", pytest.param("inceptionv3", marks=pytest.mark.long)],
    )
    def test_every_block_is_a_place_where_the_network_is_in_one_piece(self, name: str) -> None:
        extractor = _shared(name)
        n_frozen = [cut(extractor, name, block)[0].count_params() for block in BLOCKS[name]]
        assert n_frozen == sorted(set(n_frozen))

    def test_trains_the_blocks_behind_it_and_nothing_else(self) -> None:
        lower, upper = cut(_extractor("vgg16"), "vgg16", "block5")
        assert upper is not None
        assert not lower.trainable_weights
        assert [weight.path for weight in upper.trainable_weights] == [
            f"block5_conv{number}/{kind}" for number in (1, 2, 3) for kind in ("kernel", "bias")
        ]

    def test_without_a_block_trains_nothing(self) -> None:
        lower, upper = cut(_extractor("mobilenet"), "mobilenet", None)
        assert upper is None
        assert lower.trainable_weights == []

    @pytest.mark.parametrize("block", ["block0", "block6", "block5_conv4", ""])
    def test_at_an_unknown_block_names_those_there_are(self, block: str) -> None:
        with pytest.raises(
            InvalidSettings,
            match=r"unfrozen, for vgg16: expected one of block1, .*, block5, .*, got",
        ):
            cut(_shared("vgg16"), "vgg16", block)


class TestExtractorNorms:
    """A network whose blocks are unfrozen, its head as phase A left it."""

    HEAD = HeadSettings(optimizer="sgd")

    def _unfrozen(self, name: str, norms: str) -> tuple[keras.Model, keras.Model, keras.Model]:
        """A fresh extractor, its frozen part, and the network of its last block and the head."""
        facts = known_facts().get(name)
        extractor = _extractor(name, max(SIZE, facts.min_size) if facts else SIZE)
        block = list(BLOCKS[name])[-1] if facts else BLOCK[name]
        lower, upper = cut(extractor, name, block, norms=norms)
        shape = tuple(extractor.output_shape[1:])
        network = trainable_network(
            upper, shape, N_CLASSES, pooling="average", units=16, head=self.HEAD, seed=SEED
        )
        return extractor, lower, network

    @pytest.mark.parametrize(
        "name",
        [
            "mobilenet",
            pytest.param("xception", marks=pytest.mark.long),
            pytest.param("inceptionv3", marks=pytest.mark.long),
        ],
    )
    def test_in_inference_mode_compute_in_training_what_the_frozen_extractor_does(
        self, name: str
    ) -> None:
        outputs = {}
        for norms in ("training", "inference"):
            extractor, lower, network = self._unfrozen(name, norms)
            pixels = np.random.default_rng(3).normal(0, 1, (8, *extractor.input_shape[1:]))
            frozen = network.get_layer("head")(extractor(pixels.astype(np.float32)))
            expected = np.asarray(keras.ops.softmax(frozen))
            before = _values(extractor)
            unfrozen = np.asarray(network(lower(pixels.astype(np.float32)), training=True))
            moved = any(
                not np.array_equal(value, after)
                for value, after in zip(before, _values(extractor), strict=True)
            )
            outputs[norms] = (float(np.abs(unfrozen - expected).max()), moved)
        assert outputs["inference"][0] < 1e-5
        assert outputs["training"][0] > 1e-2
        assert {norms: moved for norms, (_, moved) in outputs.items()} == {
            "training": True,
            "inference": False,
        }

    @pytest.mark.parametrize("norms", ["training", "inference"])
    def test_in_inference_mode_alone_let_phase_b_begin_at_the_loss_that_phase_a_ended_with(
        self, norms: str, tmp_path: Path
    ) -> None:
        images, name = _images(), BACKBONE
        extractor = _extractor(name)
        maps = _stored(extractor, name, images)
        shape = tuple(extractor.output_shape[1:])
        alone = trainable_network(
            None, shape, N_CLASSES, pooling="average", units=16, head=self.HEAD, seed=SEED
        )
        recipe = RecipeSettings(epochs=3, batch_size=10, learning_rate=0.01)
        train(alone, _examples(maps), recipe, "none", seed=SEED, folder=tmp_path / "a")
        losses = [
            -np.log(probabilities(alone, maps[rows])[np.arange(len(rows)), rows % N_CLASSES]).mean()
            for rows in (np.arange(20), np.arange(20, 30))
        ]
        _, lower, network = self._unfrozen(name, norms)
        for weight, value in zip(
            network.get_layer("head").weights, _values(alone.get_layer("head")), strict=True
        ):
            weight.assign(value)
        accelerate(network)
        # So slow that no weight changes: the moving averages alone may.
        standstill = RecipeSettings(epochs=12, batch_size=10, learning_rate=1e-9)
        examples = _examples(_stored(lower, name, images))
        history = train(
            network, examples, standstill, "none", seed=SEED, folder=tmp_path / "b"
        ).history
        distances = [
            max(abs(epoch["loss"] - losses[0]), abs(epoch["val_loss"] - losses[1]))
            for epoch in history
        ]
        if norms == "inference":
            assert max(distances) < 1e-4
        else:
            assert min(distances) > 1e-3
            assert abs(history[-1]["val_loss"] - losses[1]) > 1e-3

    def test_in_inference_mode_are_not_trained_and_the_convolutions_are(self) -> None:
        _, _, network = self._unfrozen("mobilenet", "inference")
        names = [weight.path.rpartition("/")[2] for weight in network.trainable_weights]
        assert sorted(names) == ["bias", "bias", "kernel", "kernel", "kernel", "kernel"]

    def test_in_inference_mode_are_refused_where_there_are_none(self) -> None:
        with pytest.raises(
            InvalidSettings, match=r"extractor_norms: expected .* in vgg16 from block5 on .*none"
        ):
            cut(_shared("vgg16"), "vgg16", "block5", norms="inference")


class TestRatesByBlock:
    @pytest.mark.parametrize(
        ("name", "block", "n_by_steps"),
        [
            # A convolution has kernel and bias, a batch norm gamma and beta, a head two layers.
            ("vgg16", "block4", {0: 4, 1: 3 * 2, 2: 3 * 2}),
            # A depthwise and a pointwise convolution without bias, each with its batch norm.
            ("mobilenet", "block11", {0: 4, 1: 2 * 3, 2: 2 * 3, 3: 2 * 3}),
            # Two and three separable convolutions, of two kernels each; block 13 has a way around.
            ("xception", "block13", {0: 4, 1: 2 * 4, 2: 2 * 4 + 3}),
            # Nine convolutions each, their batch norms without gamma.
            pytest.param(
                *("inceptionv3", "mixed9", {0: 4, 1: 9 * 2, 2: 9 * 2}), marks=pytest.mark.long
            ),
        ],
    )
    def test_fall_by_the_decay_with_each_block_back_from_the_head(
        self, name: str, block: str, n_by_steps: dict[int, int]
    ) -> None:
        extractor = _shared(name)
        _, upper = cut(extractor, name, block)
        trainable = trainable_network(
            upper,
            tuple(extractor.output_shape[1:]),
            N_CLASSES,
            pooling="average",
            units=16,
            head=BARE,
            seed=SEED,
        )
        rates = rates_by_block(trainable, extractor, name, block, decay=0.5)
        assert {steps: rates.count(0.5**steps) for steps in n_by_steps} == n_by_steps
        assert len(rates) == sum(n_by_steps.values()) == len(trainable.trainable_variables)
        for variable, rate in zip(trainable.trainable_variables, rates, strict=True):
            layer = variable.path.rpartition("/")[0]
            if layer in ("dense", "logits"):
                assert rate == 1, variable.path
            elif layer.startswith("block"):  # as VGG16 and Xception name them
                last = int(list(BLOCKS[name])[-1].removeprefix("block"))
                number = int(layer.removeprefix("block").partition("_")[0])
                assert rate == 0.5 ** (1 + last - number), variable.path
            elif layer.startswith("conv_"):  # as MobileNet does
                number = int(layer.removesuffix("_bn").rpartition("_")[2])
                assert rate == 0.5 ** (1 + 13 - number), variable.path

    def test_from_an_unknown_block_names_those_there_are(self) -> None:
        extractor = _shared("vgg16")
        with pytest.raises(InvalidSettings, match=r"expected one of block1, .*, got 'block6'"):
            rates_by_block(extractor, extractor, "vgg16", "block6", decay=0.5)


class TestHead:
    def test_has_a_dense_layer_batch_norm_dropout_and_the_logits(self) -> None:
        head = _parts("mobilenet", None, FULL)[1].get_layer("head")
        kinds = [type(layer).__name__ for layer in head.layers[1:]]
        assert kinds == ["Flatten", "Dense", "BatchNormalization", "ReLU", "Dropout", "Dense"]
        assert head.get_layer("dense").units == 16
        assert head.get_layer("dropout").rate == 0.5

    def test_is_the_same_for_the_same_seed_and_on_any_network(self) -> None:
        alone, behind = (_parts(BACKBONE, block)[1].get_layer("head") for block in (None, "block3"))
        for weight, weight_behind in zip(_values(alone), _values(behind), strict=True):
            assert np.array_equal(weight, weight_behind)


class TestOverImages:
    @pytest.mark.parametrize(
        "name", ["mobilenet", BACKBONE, pytest.param("vgg16", marks=pytest.mark.long)]
    )
    def test_scales_pixels_as_the_extractor_expects(self, name: str) -> None:
        lower, trainable = _parts(name, BLOCK[name])
        images = _images(5)
        over_images = image_network(lower, trainable, name)
        expected = probabilities(trainable, _stored(lower, name, images))
        assert np.array_equal(probabilities(over_images, images), expected)

    def test_of_another_size_resizes_the_images(self) -> None:
        lower, trainable = _parts(BACKBONE, BLOCK[BACKBONE])
        over_images = image_network(lower, trainable, BACKBONE, image_size=48)
        flat = np.full((1, 48, 48, 3), 128, np.uint8)
        small = image_network(lower, trainable, BACKBONE)
        expected = probabilities(small, flat[:, :SIZE, :SIZE])
        assert probabilities(over_images, flat) == pytest.approx(expected, abs=1e-5)

    def test_can_be_saved_and_loaded_without_our_code_of_the_parts(self, tmp_path: Path) -> None:
        lower, trainable = _parts(BACKBONE, BLOCK[BACKBONE])
        over_images = image_network(lower, trainable, BACKBONE)
        over_images.save(tmp_path / "whole.keras")
        loaded = keras.saving.load_model(tmp_path / "whole.keras")
        images = _images(4)
        assert np.array_equal(probabilities(loaded, images), probabilities(over_images, images))


class TestActivations:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"inputs": np.zeros((30, 2, 2, 1024), np.float32)}, r"activations \(n, 1, 1, 1024\)"),
            ({"inputs": np.zeros((30, 1, 1, 1024))}, "got float64"),
            ({"mirrored": np.zeros((29, 1, 1, 1024), np.float32)}, "mirrored: expected float32"),
        ],
        ids=["of another input size", "float64", "mirrored of other images"],
    )
    def test_that_do_not_fit_are_refused(
        self, tmp_path: Path, changes: dict[str, np.ndarray], message: str
    ) -> None:
        _, small = _parts("mobilenet", None)
        right = {"inputs": np.zeros((30, 1, 1, 1024), np.float32)}
        with pytest.raises(InvalidInput, match=message):
            _fitted(small, _examples(**{**right, **changes}), tmp_path / "checkpoints")
        assert list(tmp_path.iterdir()) == []

    def test_are_not_augmented(self, tmp_path: Path) -> None:
        _, small = _parts("mobilenet", None)
        examples = _examples(np.zeros((30, 1, 1, 1024), np.float32))
        with pytest.raises(InvalidSettings, match="activations: expected no augmentation"):
            train(small, examples, TWO_EPOCHS, "wide", seed=SEED, folder=tmp_path / "x")
