"""The study's numbers agree with each other."""

import math

from flowers17.reporting.reference import (
    BEST_OF_TABLE_8,
    CLASSIFIERS,
    CONTENTS,
    EXTRACTORS,
    PARTS,
    TABLE_7,
    TABLE_8,
)


def test_columns_of_table_7_are_the_products_of_its_shapes() -> None:
    assert set(TABLE_7) == set(EXTRACTORS)
    for shape in TABLE_7.values():
        assert shape.n_columns == math.prod(shape.feature_map)


def test_table_8_is_complete_and_its_best_is_that_of_table_10() -> None:
    assert set(TABLE_8) == set(CLASSIFIERS)
    assert all(set(row) == set(EXTRACTORS) for row in TABLE_8.values())
    assert BEST_OF_TABLE_8 == TABLE_8["logistic_regression"]["mobilenet"] == 0.944


def test_contents_hold_tables_1_to_10_and_figures_1_to_8_in_known_parts() -> None:
    numbers = [(one.kind, one.number) for one in CONTENTS]
    assert numbers == [("table", n) for n in range(1, 11)] + [("figure", n) for n in range(1, 9)]
    assert {one.part for one in CONTENTS} <= {part.name for part in PARTS}
