"""Fast layers: which are eligible, equal up to rounding, and nothing else changed."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from flowers17.learners.fast_layers import accelerate, fast_layers
from flowers17.learners.networks import build
from tests.support.tiny_training import (
    N_CLASSES,
    N_TRAIN,
    PLAIN,
    SIZE,
    prepared,
    trained,
    weight_bytes,
)

MANY = 128
NORMED, ACCELERATED = (
    f"tests.unit.learners.test_fast_layers:{name}" for name in ("normed", "accelerated")
)
only_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has such a kernel"
)


def wide(input_shape: Any, n_classes: int) -> keras.Model:
    """Network with one eligible convolution."""
    inputs = layers.Input(input_shape)
    x = layers.Conv2D(MANY, 3, padding="same", strides=2, name="first")(inputs)
    x = layers.Conv2D(MANY, 3, padding="same", activation="relu", name="suited")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


def normed(input_shape: Any, n_classes: int) -> keras.Model:
    """The same network with batch norms, the first of which has no weights."""
    inputs = layers.Input(input_shape)
    x = layers.BatchNormalization(scale=False, center=False, name="bare")(inputs)
    x = layers.Conv2D(MANY, 3, padding="same", strides=2, name="first")(x)
    x = layers.BatchNormalization(momentum=0.9, name="normed")(x)
    x = layers.Conv2D(MANY, 3, padding="same", activation="relu", name="suited")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


def accelerated(input_shape: Any, n_classes: int) -> keras.Model:
    """The network `normed` with fast layers."""
    model = normed(input_shape, n_classes)
    accelerate(model)
    return model


def _accelerated_layers(model: keras.Model) -> list[str]:
    accelerate(model)
    return fast_layers(model)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


class TestConvolutions:
    @pytest.mark.parametrize(
        ("change", "n_in"),
        [
            ({"kernel_size": 1}, MANY),
            ({"kernel_size": 5}, MANY),
            ({"strides": 2}, MANY),
            ({"dilation_rate": 2}, MANY),
            ({"groups": 2, "filters": 2 * MANY}, 2 * MANY),
            ({"padding": "valid"}, MANY),
            ({"filters": MANY - 1}, MANY),
            ({}, MANY - 1),
            ({"dtype": "mixed_bfloat16"}, MANY),
        ],
    )
    def test_leaves_what_does_not_suit(self, change: dict[str, Any], n_in: int) -> None:
        inputs = layers.Input((8, 8, n_in))
        options = {"filters": MANY, "kernel_size": 3, "padding": "same"} | change
        assert _accelerated_layers(keras.Model(inputs, layers.Conv2D(**options)(inputs))) == []

    def test_leaves_other_kinds_of_convolutions(self) -> None:
        inputs = layers.Input((8, 8, MANY))
        x = layers.DepthwiseConv2D(3, padding="same")(inputs)
        x = layers.SeparableConv2D(MANY, 3, padding="same")(x)
        x = layers.Conv2DTranspose(MANY, 3, padding="same")(x)
        assert _accelerated_layers(keras.Model(inputs, x)) == []

    def test_leaves_what_is_frozen(self) -> None:
        model = wide((SIZE, SIZE, 3), N_CLASSES)
        model.trainable = False
        assert _accelerated_layers(model) == []

    def test_finds_the_layers_of_models_inside_a_model(self) -> None:
        inputs = layers.Input((SIZE, SIZE, 3))
        inner = wide((SIZE, SIZE, 3), N_CLASSES)
        assert _accelerated_layers(keras.Model(inputs, inner(inputs))) == ["suited"]

    def test_of_the_studys_learners_suits_the_wide_ones(self) -> None:
        names = ("baseline", "mk-1", "mk-2", "mk-3")
        n_suited = {name: len(_accelerated_layers(build(name, (64, 64, 3)))) for name in names}
        assert n_suited == {"baseline": 0, "mk-1": 2, "mk-2": 1, "mk-3": 6}

    def test_changes_what_is_computed_by_rounding_and_nothing_that_is_saved(
        self, tmp_path: Path
    ) -> None:
        model = normed((16, 16, 3), N_CLASSES)
        images, before = np.abs(_random(5, 16, 16, 3)), weight_bytes(model)
        plain = model.predict_on_batch(images)
        config = model.get_config()
        accelerate(model)
        model.predict_function = None
        accelerated_output = model.predict_on_batch(images)
        assert not np.array_equal(accelerated_output, plain)
        np.testing.assert_allclose(accelerated_output, plain, atol=1e-5)
        assert weight_bytes(model) == before
        assert model.get_config() == config
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert np.array_equal(loaded.predict_on_batch(images), plain)


@only_tensorflow
class TestBatchNorms:
    @pytest.mark.parametrize(
        ("change", "shape"),
        [
            ({"axis": 1}, (8, 8, 3)),
            ({"axis": 2}, (8, 8, 3)),
            ({"synchronized": True}, (8, 8, 3)),
            ({"dtype": "mixed_float16"}, (8, 8, 3)),
            ({"trainable": False}, (8, 8, 3)),
            ({}, (8,)),
            ({}, (8, 3)),
        ],
    )
    def test_leaves_what_does_not_suit(
        self, change: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        inputs = layers.Input(shape)
        assert (
            _accelerated_layers(keras.Model(inputs, layers.BatchNormalization(**change)(inputs)))
            == []
        )

    def test_are_left_to_keras_with_a_mask_and_where_nothing_is_trained(self) -> None:
        images, mask = _random(3, 4, 4, 2), np.ones((3, 4, 4), bool)
        layer = layers.BatchNormalization()
        inputs = layers.Input((4, 4, 2))
        model = keras.Model(inputs, layer(inputs))
        twin = layers.BatchNormalization()
        twin.build(images.shape)
        assert _accelerated_layers(model) == [layer.name]
        for training, layer_mask in ((False, None), (None, None), (True, mask)):
            output = layer.call(images, training=training, mask=layer_mask)
            expected = twin.call(images, training=training, mask=layer_mask)
            assert np.array_equal(output, expected)
        layer.trainable = twin.trainable = False
        assert np.array_equal(layer(images, training=True), twin(images, training=True))

    @pytest.mark.parametrize(
        ("size", "policy", "rounding"),
        [
            (1, "float32", 1e-5),
            (7, "float32", 1e-5),
            (16, "float32", 1e-5),
            (7, "mixed_bfloat16", 3e-3),
            (16, "mixed_bfloat16", 3e-3),
        ],
    )
    def test_learn_and_remember_what_those_of_keras_do_up_to_rounding(
        self, size: int, policy: str, rounding: float, request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
        keras.config.set_dtype_policy(policy)
        images, labels = np.abs(_random(5, size, size, 3)), np.eye(N_CLASSES)[[0, 1, 2, 0, 1]]
        models = [normed((None, None, 3), N_CLASSES) for _ in range(2)]
        models[1].set_weights(models[0].get_weights())
        accelerate(models[1], convolutions=False)
        assert fast_layers(models[1]) == ["bare", "normed"]
        for model in models:
            model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        for _ in range(3):
            losses = [float(model.train_on_batch(images, labels)) for model in models]
            assert losses[0] == pytest.approx(losses[1], abs=rounding)
        for weight, fast_weight in zip(models[0].weights, models[1].weights, strict=True):
            np.testing.assert_allclose(weight, fast_weight, atol=rounding, err_msg=weight.path)
        assert not np.allclose(models[0].get_layer("bare").moving_variance, 1)


def leaky(input_shape: Any, n_classes: int) -> keras.Model:
    """Network with every kind of leaky ReLU."""
    inputs = layers.Input(input_shape)
    x = layers.Conv2D(8, 3, activation="leaky_relu", name="convolution")(inputs)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.Conv2D(8, 3)(x)
    x = layers.LeakyReLU(0.4, name="layer")(x)
    x = layers.Activation("leaky_relu", name="activation")(layers.Conv2D(8, 3)(x))
    x = layers.Dense(8, activation="leaky_relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


@only_tensorflow
class TestLeakyReLUs:
    def test_learn_what_those_of_keras_do_and_save_the_same(self) -> None:
        images, labels = _random(5, SIZE, SIZE, 3), np.eye(N_CLASSES)[[0, 1, 2, 0, 1]]
        models = [leaky((SIZE, SIZE, 3), N_CLASSES) for _ in range(2)]
        models[1].set_weights(models[0].get_weights())
        config = models[1].get_config()
        assert _accelerated_layers(models[1]) == ["convolution", "layer", "activation", "hidden"]
        for model in models:
            model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        for _ in range(3):
            losses = [float(model.train_on_batch(images, labels)) for model in models]
            assert losses[0] == pytest.approx(losses[1], rel=1e-6)
        for weight, fast_weight in zip(models[0].weights, models[1].weights, strict=True):
            np.testing.assert_allclose(weight, fast_weight, atol=1e-6, err_msg=weight.path)
        assert models[1].get_config() == config

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
    def test_compile_without_a_complaint(
        self, policy: str, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
        keras.config.set_dtype_policy(policy)
        model = leaky((SIZE, SIZE, 3), N_CLASSES)
        accelerate(model)
        model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        model.train_on_batch(_random(2, SIZE, SIZE, 3), np.eye(N_CLASSES)[:2])
        assert "remapper" not in capfd.readouterr().err


class TestTraining:
    @pytest.mark.parametrize(("policy", "rounding"), [("float32", 1e-4), ("mixed_bfloat16", 1e-2)])
    def test_resumed_is_itself_to_the_byte_and_the_direct_one_up_to_rounding(
        self, tmp_path: Path, policy: str, rounding: float
    ) -> None:
        recipe = PLAIN.model_copy(update={"epochs": 2, "batch_size": N_TRAIN})

        def copy(epoch: int) -> None:
            if epoch == 1:
                shutil.copytree(tmp_path / "a", tmp_path / "b")

        with prepared():
            keras.config.set_dtype_policy(policy)
            ends = [
                trained(tmp_path / name, recipe, learner, after_epoch=hook)
                for name, learner, hook in (
                    ("a", ACCELERATED, copy),
                    ("b", ACCELERATED, None),
                    ("c", NORMED, None),
                )
            ]
        assert ends[0] == ends[1]
        assert ends[0].weights != ends[2].weights
        for fast_epoch, direct_epoch in zip(ends[0].history, ends[2].history, strict=True):
            assert fast_epoch["loss"] == pytest.approx(direct_epoch["loss"], abs=rounding)
