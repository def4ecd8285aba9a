"""The learners: the study's parameter totals, any size and class count, learners of one's own."""

import hashlib
import random
import threading
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import LearnerDefinition
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners import build
from flowers17.learners.networks import BUILDERS, STUDY, drawn, smallest_size
from tests.support import tiny_training

# REFERENCE.md, Part A.1
TOTALS = {
    "baseline": 8_390_673,
    "mk-1": 18_337_425,
    "mk-2": 33_998_257,
    "mk-3": 38_386_513,
    "mk-4": 19_318_193,
    "mk-5": 11_285_777,
    "mk-6": 34_598_417,
}
COUNTS = {  # convolutions, pools, hidden dense layers
    "baseline": (1, 1, 1),
    "mk-1": (4, 4, 1),
    "mk-2": (6, 3, 1),
    "mk-3": (9, 4, 1),
    "mk-4": (6, 3, 1),
    "mk-5": (7, 4, 1),
    "mk-6": (6, 3, 1),
}


def _forward(model: Any, size: int, n_images: int = 2) -> np.ndarray:
    images = np.random.default_rng(0).random((n_images, size, size, 3), dtype=np.float32)
    return np.asarray(model(images, training=False))  # no graph to compile


def test_every_learner_of_the_study_is_there() -> None:
    assert STUDY.keys() == TOTALS.keys()


@pytest.mark.parametrize("name", TOTALS)
def test_has_the_parameters_and_layers_of_the_study(name: str) -> None:
    model = build(name)
    kinds = [type(layer).__name__ for layer in model.layers]
    n_dense = kinds.count("Dense") - 1
    assert model.count_params() == TOTALS[name]
    assert (kinds.count("Conv2D"), kinds.count("MaxPooling2D"), n_dense) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "size", "n_classes", "total"),
    [
        # 3·3·3·32 + 32, then (32·32·32)·64 + 64, then 64·10 + 10
        ("baseline", 64, 10, 896 + 2_097_216 + 650),
        # the four convolutions, (4·4·512)·512 + 512, 512·17 + 17
        ("mk-1", 64, 17, 1_792 + 73_856 + 295_168 + 1_180_160 + 4_194_816 + 8_721),
        # the seven convolutions, one pixel of 512 channels: 512·1024 + 1024, 1024·2 + 2
        (
            "mk-5",
            74,
            2,
            1_792 + 73_856 + 147_584 + 295_168 + 590_080 + 590_080 + 1_180_160 + 525_312 + 2_050,
        ),
    ],
)
def test_has_the_parameters_counted_by_hand_at_another_size(
    name: str, size: int, n_classes: int, total: int
) -> None:
    assert build(name, (size, size, 3), n_classes).count_params() == total


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (name, size)
        if size == 64 or name in ("baseline", "mk-5", "aggregated")
        else pytest.param(name, size, marks=pytest.mark.long)
        for name in (*TOTALS, *BUILDERS)
        for size in (128, 64)
    ],
)
def test_gives_probabilities_at_128_and_64(name: str, size: int) -> None:
    if name == "mk-5" and size == 64:
        with pytest.raises(InvalidInput, match="mk-5: expected images of at least 74 × 74 pixels"):
            build(name, (size, size, 3))
        return
    proba = _forward(build(name, (size, size, 3)), size)
    assert (proba.shape, proba.dtype) == ((2, 17), np.float32)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert proba.min() >= 0


@pytest.mark.parametrize("name", STUDY)
def test_takes_its_smallest_size_and_refuses_a_pixel_less(name: str) -> None:
    size = smallest_size(STUDY[name])
    build(name, (size, size, 3), 2)
    with pytest.raises(InvalidInput, match=f"at least {size} × {size} pixels, got {size - 1} × "):
        build(name, (size - 1, size, 3), 2)


@pytest.mark.parametrize("n_classes", [2, 5, 102])
def test_takes_any_number_of_classes(n_classes: int) -> None:
    proba = _forward(build("aggregated", (32, 32, 3), n_classes), 32)
    assert proba.shape == (2, n_classes)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)


def test_takes_images_that_are_not_square_or_not_of_three_channels() -> None:
    model = build("baseline", (20, 10, 1), 2)
    assert model.count_params() == (9 * 32 + 32) + (10 * 5 * 32 * 64 + 64) + (64 * 2 + 2)


@pytest.mark.parametrize(
    ("name", "millions"), [("residual", 7.8), ("sequential", 4.7), ("aggregated", 2.4)]
)
def test_ours_take_any_size_in_one_network(name: str, millions: float) -> None:
    model = build(name, (None, None, 3), 3)
    assert model.name == name
    assert round(model.count_params() / 1e6, 1) == millions
    assert [_forward(model, size).shape for size in (32, 48, 96)] == [(2, 3)] * 3


def test_ends_in_a_softmax_of_logits() -> None:
    for name in ("mk-4", *BUILDERS):
        last, logits = (build(name, (64, 64, 3), 3).layers[-position] for position in (1, 2))
        assert (type(last).__name__, type(logits).__name__) == ("Softmax", "Dense")
        assert logits.dtype_policy.compute_dtype == "float32"


def test_the_same_seed_draws_the_same_weights() -> None:
    first, second = (tiny_training.weight_bytes(tiny_training.fresh()) for _ in range(2))
    assert first == second
    assert tiny_training.weight_bytes(build("tiny", (16, 16, 3), 3, definitions=[TINY])) != first


def test_nothing_but_the_seed_decides_the_weights() -> None:
    """Not even another thread that draws from Python's generator, as Keras does for its seeds."""

    def built() -> list[bytes]:
        model = build(tiny_training.STATEFUL, (16, 16, 3), 3, seed=7)
        return [keras.ops.convert_to_numpy(variable).tobytes() for variable in model.variables]

    is_over = threading.Event()

    def draw() -> None:
        while not is_over.is_set():
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        undisturbed, disturbed = built(), built()
    finally:
        is_over.set()
        thread.join()
    assert undisturbed == disturbed


# Of the signs of all weights, which rounding does not change, drawn by TensorFlow from seed 7.
DRAWN = {
    "baseline": "9f658be58e3e68ca",
    "mk-1": "ffb5a56e78905124",
    "mk-2": "13c133604e3801ce",
    "mk-3": "ad87a321c67a2fd9",
    "mk-4": "13c133604e3801ce",
    "mk-5": "69a3d19cf7f84ab8",
    "mk-6": "b622db4102abffc8",
    "residual": "2e15c40f065c6df8",
    "sequential": "6912db73d1a41782",
    "aggregated": "17a317c89d9d47a5",
    tiny_training.STATEFUL: "515b1b03e336ff6c",
}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others draw other weights")
@pytest.mark.parametrize("name", DRAWN)
def test_draws_the_weights_that_it_always_drew(name: str) -> None:
    size = 16 if ":" in name else smallest_size({**STUDY, **BUILDERS}[name])
    digest = hashlib.sha256()
    for variable in build(name, (size, size, 3), 3, seed=7).variables:
        array = keras.ops.convert_to_numpy(variable)
        is_state = array.dtype.kind != "f"  # of dropout
        digest.update((array if is_state else np.packbits(np.signbit(array))).tobytes())
    assert digest.hexdigest()[:16] == DRAWN[name]


class Mixed(keras.layers.Layer):
    """A layer of one's own that holds others."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = keras.layers.Dense(4, bias_initializer="random_normal")
        self.drop = keras.layers.Dropout(0.5)

    def call(self, inputs: Any) -> Any:
        """Mix the inputs."""
        return self.drop(self.mix(inputs))


def nested(input_shape: Any, n_classes: int) -> keras.Model:
    """Network of nested models and layers."""
    layers = keras.layers
    block = keras.Sequential([layers.Conv2D(4, 3), layers.Dropout(0.3)])
    inputs = layers.Input(input_shape)
    x = keras.Sequential([block, layers.SeparableConv2D(5, 3)])(inputs)
    x = layers.DepthwiseConv2D(3)(Mixed()(x))
    x = layers.TimeDistributed(layers.Dense(6))(x)
    x = layers.Bidirectional(layers.GRU(3))(layers.Reshape((-1, 6))(x))
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))


def test_the_seed_decides_all_weights_of_models_and_layers_inside_a_learner() -> None:
    name = f"{__name__}:nested"
    model, rebuilt, of_another_seed = (build(name, (16, 16, 3), 3, seed=seed) for seed in (7, 7, 8))
    for variable, twin, different in zip(
        model.variables, rebuilt.variables, of_another_seed.variables, strict=True
    ):
        value = keras.ops.convert_to_numpy(variable)
        assert np.array_equal(value, keras.ops.convert_to_numpy(twin)), variable.path
        if value.any():  # biases begin at zero
            assert not np.array_equal(value, keras.ops.convert_to_numpy(different)), variable.path


def test_a_seed_of_a_learner_s_own_is_kept() -> None:
    layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=5))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.Sequential([layer])(inputs))
    before = tiny_training.weight_bytes(model)
    assert tiny_training.weight_bytes(drawn(model, 1)) == before


TINY = LearnerDefinition(name="tiny", blocks=((4, 5), (6,)), dense=7, activation="tanh")


class TestOwnLearner:
    def test_is_a_row_of_settings(self) -> None:
        model = build("tiny", (8, 8, 3), 2, definitions=[TINY])
        convolutions = (27 * 4 + 4) + (36 * 5 + 5) + (45 * 6 + 6)
        assert model.count_params() == convolutions + (4 * 6 * 7 + 7) + (7 * 2 + 2)
        assert _forward(model, 8).shape == (2, 2)

    def test_may_replace_one_of_the_study(self) -> None:
        own = TINY.model_copy(update={"name": "mk-2"})
        assert build("mk-2", (8, 8, 3), 2, definitions=[own]).count_params() < 1000

    def test_is_a_function_that_can_be_imported(self) -> None:
        model = build(tiny_training.STATEFUL, (16, 16, 3), 3)
        assert _forward(model, 16).shape == (2, 3)

    @pytest.mark.parametrize(
        ("function", "message"), [("wrong_output", r"got \(None, 4\)"), ("no_model", "got str")]
    )
    def test_that_gives_something_else_is_refused(self, function: str, message: str) -> None:
        with pytest.raises(InvalidInput, match=rf"output \(None, 3\), {message}"):
            build(f"tests.support.tiny_training:{function}", (16, 16, 3), 3)

    @pytest.mark.parametrize("name", ["tests.nowhere:build", "tests.support.tiny_training:nothing"])
    def test_that_cannot_be_imported_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidSettings, match=r"a function that can be imported, .*PYTHONPATH"):
            build(name)


def test_an_unknown_learner_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidSettings, match=r"mk-6, residual, sequential, aggregated, tiny, .* got 'mk-7'"
    ):
        build("mk-7", definitions=[TINY])


@pytest.mark.parametrize("n_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_refused(n_classes: int) -> None:
    with pytest.raises(InvalidInput, match=f"two classes or more, got {n_classes}"):
        build("baseline", (16, 16, 3), n_classes)


@pytest.mark.parametrize("name", BUILDERS)
def test_images_too_small_for_ours_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: .* at least 32 × 32 pixels, got 31 × 64"):
        build(name, (31, 64, 3))


def test_a_learner_with_a_dense_layer_needs_to_know_the_size() -> None:
    with pytest.raises(InvalidInput, match="got None × None"):
        build("mk-2", (None, None, 3))


@pytest.mark.parametrize("shape", [(128, 128), (0, 128, 3), (128, 128, -1)])
def test_a_shape_that_is_none_is_refused(shape: Any) -> None:
    with pytest.raises(InvalidInput, match="height, width, channels"):
        build("baseline", shape)
