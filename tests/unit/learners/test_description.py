"""Layer tables and counted operations against counts by hand."""

import keras

from flowers17.learners import build
from flowers17.learners.description import layer_table, n_operations


def test_the_table_of_the_baseline_is_the_one_made_by_hand() -> None:
    rows = layer_table(build("baseline"))
    found = [(one["kind"], one["output_shape"], one["parameters"]) for one in rows]
    assert found == [
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
        assert len({one["name"] for one in rows}) == len(rows)
        assert sum(one["parameters"] for one in rows) == model.count_params()


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
