"""Row-space coordinates keep every inner product of the columns."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from flowers17.errors import InvalidInput
from flowers17.transfer import rowspace
from flowers17.transfer.rowspace import (
    gram_matrix,
    normalised,
    principal_axes,
    row_space,
    side_by_side,
)
from tests.unit.transfer.made_features import feature_case


def _principal_components(rows: np.ndarray, train: np.ndarray, n_components: int) -> np.ndarray:
    mean, axes = principal_axes(rows, train, n_components)
    return np.asarray((rows - mean) @ axes)


def test_normalised_rows_have_unit_length_and_keep_signs() -> None:
    rows = normalised(np.array([[4.0, -9.0, 0.0], [0.0, 0.0, 2.0]], np.float32))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[2 / 13**0.5, -3 / 13**0.5, 0], [0, 0, 1]], rtol=1e-6)


def test_row_of_zeros_stays_zero() -> None:
    assert not normalised(np.array([[0, 0], [1, 0]], np.float32))[0].any()


def test_one_row_is_normalised_whatever_the_others_are() -> None:
    features = feature_case().maps[0]
    np.testing.assert_array_equal(normalised(features)[3:7], normalised(features[3:7]))


@pytest.mark.parametrize("widths", [(600,), (600, 90), (20,)])
def test_inner_products_equal_those_of_the_columns(widths: tuple[int, ...]) -> None:
    maps = feature_case(widths=widths).maps
    columns = side_by_side(maps).astype(np.float64)
    rows = row_space(maps)
    assert rows.shape[1] <= min(columns.shape)
    np.testing.assert_allclose(rows @ rows.T, columns @ columns.T, atol=1e-6)


def test_inner_products_equal_the_gram_matrix_to_double_precision() -> None:
    maps = feature_case(widths=(600, 90)).maps
    rows = row_space(maps)
    np.testing.assert_allclose(rows @ rows.T, gram_matrix(maps), atol=1e-13)


def test_many_images_with_few_columns_keep_their_inner_products_in_any_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps = feature_case(widths=(20, 9)).maps
    rows = row_space(maps)
    assert rows.shape == (len(maps[0]), 29)
    np.testing.assert_allclose(rows @ rows.T, gram_matrix(maps), atol=1e-7)
    lengths = np.linalg.norm(rows, axis=0)
    assert (np.diff(lengths) <= 0).all()
    monkeypatch.setattr(rowspace, "ROWS_PER_BLOCK", 7)
    np.testing.assert_allclose(np.abs(row_space(maps)), np.abs(rows), atol=1e-12)


def test_too_many_images_and_columns_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rowspace, "MOST_ROWS_AND_COLUMNS", 50)
    maps = feature_case(widths=(600,)).maps
    with pytest.raises(InvalidInput, match=r"at most 50 images or as many columns, got .* average"):
        row_space(maps)
    assert row_space(feature_case(widths=(50,)).maps).shape[1] == 50


def test_maps_side_by_side_weigh_the_same_and_keep_unit_length() -> None:
    maps = feature_case(widths=(600, 90)).maps
    columns = side_by_side(maps)
    np.testing.assert_allclose(np.linalg.norm(columns[:, :600], axis=1), 0.5**0.5, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(columns, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("width", [3000, 90])
def test_number_of_threads_does_not_change_a_bit(width: int) -> None:
    maps = feature_case(n_each=40, widths=(width,)).maps
    results = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            results.append(row_space(maps).tobytes())
    assert results[0] == results[1]


def test_principal_components_equal_scikit_learn_on_the_columns() -> None:
    case = feature_case(widths=(600, 90))
    train = case.splits[0].train
    columns = side_by_side(case.maps).astype(np.float64)
    plain = PCA(10, svd_solver="full").fit(columns[train]).transform(columns)
    components = _principal_components(row_space(case.maps), train, 10)
    signs = np.sign((plain * components).sum(axis=0))
    np.testing.assert_allclose(components * signs, plain, atol=1e-6)


def test_principal_components_are_fitted_on_training_rows_alone() -> None:
    case = feature_case()
    rows = row_space(case.maps)
    train = case.splits[0].train
    disturbed = rows.copy()
    disturbed[case.splits[0].validation] *= 5
    np.testing.assert_array_equal(
        _principal_components(rows, train, 8)[train],
        _principal_components(disturbed, train, 8)[train],
    )


def test_more_components_than_there_are_is_refused() -> None:
    case = feature_case()
    with pytest.raises(InvalidInput, match=r"n_components: expected 1\.\.59 for 60 training"):
        _principal_components(row_space(case.maps), case.splits[0].train, 60)
