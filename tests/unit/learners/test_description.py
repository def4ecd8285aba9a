"""Layer tables and counted operations against counts by hand."""

import keras

from flowers17.learners import build
from flowers17.learners.networks import layer_table, n_operations


def test_the_table_of_the_baseline_is_the_one_made_by_hand() -> None:
    rows = layer_table(build("baseline"))
    table = [(row["kind"], row["output_shape"], row["parameters"]) for row in rows]
    assert table == [
        ("InputLayer", [128, 128, 3], 0),
        ("Conv2D", [128, 128, 32], 896),
        ("MaxPooling2D", [64, 64, 32], 0),
        ("Flatten", [131_072], 0),
        ("Dense", [64], 8_388_672),
        ("Dense", [17], 1_105),
        ("Softmax", [17], 0),
    ]


def test_names_are_unique_and_parameters_add_up() -> None:
    for name in ("mk-3", "mk-5", "residual"):
        model = build(name)
        rows = layer_table(model)
        assert len({row["name"] for row in rows}) == len(rows)
        assert sum(row["parameters"] for row in rows) == model.count_params()


def test_operations_of_the_baseline_are_those_counted_by_hand() -> None:
    convolution = 2 * 128 * 128 * (3 * 3 * 3 * 32)
    dense = 2 * 131_072 * 64 + 2 * 64 * 17
    assert n_operations(build("baseline")) == convolution + dense == 45_090_944


def test_operations_of_unpadded_convolutions_are_of_the_places_that_there_are() -> None:
    sides = (126, 61, 59, 27, 25, 10, 8)
    kernels = [
        9 * a * b
        for a, b in (
            (3, 64),
            (64, 128),
            (128, 128),
            (128, 256),
            (256, 256),
            (256, 256),
            (256, 512),
        )
    ]
    convolutions = sum(2 * s * s * k for s, k in zip(sides, kernels, strict=True))
    dense = 2 * (4 * 4 * 512) * 1024 + 2 * 1024 * 17
    assert n_operations(build("mk-5")) == convolutions + dense


def test_a_strided_convolution_counts_its_own_places() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    assert n_operations(model) == 2 * (4 * 4) * (3 * 3 * 3 * 5)


def test_operations_of_a_model_inside_are_counted_layer_by_layer() -> None:
    inner = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Conv2D(5, 1, strides=2)])
    inputs = keras.Input((8, 8, 3))
    outer = keras.Sequential([inner, keras.layers.GlobalAveragePooling2D()])
    model = keras.Model(inputs, keras.layers.Dense(2)(outer(inputs)))
    convolutions = 6 * 6 * (3 * 3 * 3 * 4) + 3 * 3 * (4 * 5)
    assert n_operations(model) == 2 * (convolutions + 5 * 2) == 8_156


def test_operations_of_separated_convolutions_are_of_both_their_kernels() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2)(inputs)
    x = keras.layers.DepthwiseConv2D(3)(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    separable = 4 * 4 * (3 * 3 * 6 + 6 * 5)
    assert n_operations(model) == 2 * (separable + 2 * 2 * (3 * 3 * 5))


def test_what_keras_does_not_know_the_size_of_is_not_counted() -> None:
    any_size = keras.Input((None, None, 3))
    inner = keras.Model(any_size, keras.layers.Conv2D(4, 3)(any_size))
    inputs = keras.Input((8, 3))
    x = keras.layers.TimeDistributed(keras.layers.Dense(2))(inputs)
    x = keras.layers.Reshape((4, 4, 1))(x)
    x = inner(keras.layers.Concatenate()([x, x, x]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    assert n_operations(keras.Model(inputs, keras.layers.Dense(2)(x))) == 2 * 4 * 2
