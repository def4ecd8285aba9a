"""The study's numbers agree with each other."""

import math
from itertools import pairwise

from flowers17.config import FineTuningSettings
from flowers17.reporting.reference import (
    AVERAGE_OF_TABLE_5,
    BEST_OF_TABLE_8,
    BEST_OF_TABLE_9,
    BEST_SINGLE_NETWORK,
    CLASSIFIERS,
    CONTENTS,
    EXTRACTORS,
    IMAGE_SIZE,
    LEARNERS,
    N_CLASSES,
    PARTS,
    STACKING_OF_TABLE_5,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
    TABLE_9,
    TABLE_10,
)


def test_columns_of_table_7_are_the_products_of_its_shapes() -> None:
    assert set(TABLE_7) == set(EXTRACTORS)
    for extractor in TABLE_7.values():
        assert extractor.n_columns == math.prod(extractor.shape)


def test_table_8_is_complete_and_its_best_is_that_of_table_10() -> None:
    assert set(TABLE_8) == set(CLASSIFIERS)
    assert all(set(row) == set(EXTRACTORS) for row in TABLE_8.values())
    assert BEST_OF_TABLE_8 == TABLE_8["logistic_regression"]["mobilenet"] == 0.944


def test_table_9_has_the_eight_configurations_and_its_best_is_that_of_table_10() -> None:
    assert set(TABLE_9) == {head.name for head in FineTuningSettings().heads}
    assert all(set(row) == {"vgg16", "mobilenet"} for row in TABLE_9.values())
    assert TABLE_9["adam + batch norm + dropout"]["mobilenet"]["b"] == BEST_OF_TABLE_9 == 0.967
    assert [accuracy for *_, accuracy in TABLE_10] == [
        max(row.validation_accuracy for row in TABLE_2.values()),
        max(row["wide"].validation_accuracy for row in TABLE_3.values()),
        *(STACKING_OF_TABLE_5, BEST_OF_TABLE_8, BEST_OF_TABLE_9),
    ]


def test_contents_hold_tables_1_to_10_and_figures_1_to_8_in_known_parts() -> None:
    numbers = [(entry.kind, entry.number) for entry in CONTENTS]
    assert numbers == [("table", n) for n in range(1, 11)] + [("figure", n) for n in range(1, 9)]
    assert {entry.part for entry in CONTENTS} <= {part.name for part in PARTS}


def test_blocks_of_tables_1_and_4_meet_their_counts_and_parameters_exactly() -> None:
    assert set(TABLE_1) | set(TABLE_4) == set(LEARNERS)
    for shape in (TABLE_1 | TABLE_4).values():
        assert shape.n_convolutions == sum(len(block) for block in shape.blocks)
        assert shape.n_poolings == len(shape.blocks)
        filters = [3, *(n_filters for block in shape.blocks for n_filters in block)]
        weights = sum(9 * a * b + b for a, b in pairwise(filters))
        side = IMAGE_SIZE
        for block in shape.blocks:
            side = (side - 2 * len(block) * (shape.padding == "valid")) // 2
        flat = filters[-1] * side**2
        weights += (flat + 1) * shape.units + (shape.units + 1) * N_CLASSES
        assert weights == shape.n_parameters


def test_operations_of_mk_4_are_those_of_convolutions_that_lose_their_edge() -> None:
    products = 9 * 3 * 32 * 126**2 + 9 * 32 * 32 * 124**2
    products += 9 * 32 * 64 * 60**2 + 9 * 64 * 64 * 58**2
    products += 9 * 64 * 128 * 27**2 + 9 * 128 * 256 * 25**2
    products += 12 * 12 * 256 * 512 + 512 * 17
    assert TABLE_4["mk-4"].n_operations == 2 * products


def test_tables_4_to_6_are_of_the_same_five_and_their_best_is_that_of_table_10() -> None:
    assert list(TABLE_4) == list(TABLE_5) == list(TABLE_6)
    assert BEST_SINGLE_NETWORK == TABLE_5["mk-3"] == 0.788
    assert max(TABLE_5.values()) < AVERAGE_OF_TABLE_5 < STACKING_OF_TABLE_5 == 0.820
    assert abs(sum(TABLE_6.values()) - 1) < 5 * 0.0005


def test_operations_of_mk_3_are_those_counted_by_hand() -> None:
    # Products of each convolution: 9 × channels in × channels out × places; then the dense layers.
    products = (9 * 3 * 32 + 9 * 32 * 64) * 128**2
    products += (9 * 64 * 128 + 2 * 9 * 128 * 128) * 64**2
    products += (9 * 128 * 256 + 9 * 256 * 256) * 32**2
    products += (9 * 256 * 512 + 9 * 512 * 512) * 16**2
    products += 8 * 8 * 512 * 1024 + 1024 * 17
    assert TABLE_1["mk-3"].n_operations == 2 * products == 7_343_212_544


def test_tables_2_and_3_agree_and_their_best_is_that_of_table_10() -> None:
    assert set(TABLE_2) == set(TABLE_1)
    for learner, row in TABLE_3.items():
        plain, same = row["none"], TABLE_2[learner]
        assert plain.train_accuracy == same.train_accuracy
        assert plain.validation_accuracy == same.validation_accuracy
    accuracies = [
        trained.validation_accuracy for row in TABLE_3.values() for trained in row.values()
    ]
    assert max(accuracies) == TABLE_3["mk-2"]["wide"].validation_accuracy == 0.764
    assert max(accuracies) < BEST_SINGLE_NETWORK
