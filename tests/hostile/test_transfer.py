"""Weights, features and splits that are not what they should be: each a clear error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from flowers17.config import ClassifierSettings
from flowers17.data.splits import Split
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.transfer.classifier_evaluation import evaluate
from flowers17.transfer.classifiers import FAMILIES
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.rowspace import row_space, side_by_side
from tests.unit.transfer.made_features import FeatureCase, feature_case
from tests.unit.transfer.networks import SIZE, keras3_file, legacy_file, small_network


@pytest.fixture(scope="module")
def network() -> Any:
    return small_network()


@pytest.fixture
def weights(network: Any, tmp_path: Path) -> Path:
    return keras3_file(network, tmp_path / "mobilenet_notop.weights.h5")


@pytest.fixture(scope="module")
def case() -> FeatureCase:
    return feature_case()


def _refused(path: Path, message: str, extractor: str = "mobilenet") -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        build_extractor(extractor, input_size=SIZE, weights_path=path, seed=0)
    assert str(path) in str(caught.value)
    assert "replace the file" in str(caught.value)


@pytest.mark.parametrize("writer", [keras3_file, legacy_file])
def test_weights_of_another_network(writer: Any, network: Any, tmp_path: Path) -> None:
    path = writer(network, tmp_path / "vgg16_notop.weights.h5")
    _refused(path, "holds 3,228,864 values where vgg16 has 14,714,688", extractor="vgg16")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_weights(share: float, weights: Path) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    _refused(weights, "damaged or no HDF5 file")


def test_file_that_is_no_hdf5(weights: Path) -> None:
    weights.write_text("<html>404 Not Found</html>")
    _refused(weights, "damaged or no HDF5 file")


def _nested(file: h5py.File) -> None:
    group: h5py.Group = file
    for _ in range(11_000):
        group = group.create_group("g")


def _cycle(file: h5py.File) -> None:
    file["g"] = file


def _stored_elsewhere(file: h5py.File) -> None:
    file.create_dataset("x", (100,), "f4", external=[("/etc/passwd", 0, 400)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("x", layout)


HOSTILE_HDF5: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "nested groups": (_nested, "more than 10,000 parts"),
    "group that holds itself": (_cycle, "more than 10,000 parts"),
    "link to another file": (
        lambda file: file.update(x=h5py.ExternalLink("/etc/passwd", "x")),
        "a link to another place",
    ),
    "link within the file": (lambda file: file.update(x=h5py.SoftLink("/y")), "a link to another"),
    "values of another file": (_stored_elsewhere, "its values lie in another file"),
    "virtual values of another file": (_virtual, "its values lie in another file"),
    "values without end": (
        lambda file: file.create_dataset("x", (2**60,), "f4", chunks=(1024,)),
        "holds 1,152,921,504,606,846,976 values where",
    ),
}


@pytest.mark.parametrize("case", HOSTILE_HDF5)
def test_hostile_hdf5_file_is_refused(case: str, tmp_path: Path) -> None:
    write, message = HOSTILE_HDF5[case]
    path = tmp_path / "mobilenet_notop.weights.h5"
    with h5py.File(path, "w") as file:
        write(file)
    _refused(path, message)


def test_no_weights_file(tmp_path: Path) -> None:
    _refused(tmp_path / "none.weights.h5", "no such file")


def test_folder_for_a_weights_file(tmp_path: Path) -> None:
    _refused(tmp_path, "no such file")


def test_same_number_of_values_in_other_shapes(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        kernel = file["layers/conv2d/vars/0"][:]
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = kernel.ravel()
    _refused(weights, "not the weights of mobilenet")


def test_layer_under_another_name(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        file.move("layers/conv2d", "layers/convolution")
    _refused(weights, "not the weights of mobilenet|holds NaN or was not found")


def test_weights_with_nan(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        file["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
    _refused(weights, "holds NaN")


@pytest.mark.parametrize(("extractor", "size"), [("xception", 70), ("inceptionv3", 74)])
def test_input_below_what_the_network_takes(extractor: str, size: int) -> None:
    with pytest.raises(InvalidSettings, match=f"{extractor}: expected .* at least .* got {size}"):
        build_extractor(extractor, input_size=size, weights_path=None, seed=0)


def test_images_that_are_already_scaled(network: Any) -> None:
    with pytest.raises(InvalidInput, match="expected uint8"):
        feature_maps(network, np.zeros((1, 32, 32, 3)), extractor="mobilenet", input_size=SIZE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(value: float, case: FeatureCase) -> None:
    features = case.maps[0].copy()
    features[4, 2] = value
    for used in (row_space, side_by_side):
        with pytest.raises(InvalidInput, match="NaN or infinity in 1 rows, first in row 4"):
            used([features])
    for classifier in FAMILIES:
        with pytest.raises(InvalidInput, match="NaN or infinity"):
            _evaluated(classifier, features, case.labels, case.splits)


def test_weights_that_are_no_numbers_are_told_though_a_relu_makes_zeros_of_them() -> None:
    images = keras.Input((32, 32, 3))
    layer = keras.layers.Conv2D(2, 3, activation="relu")
    model = keras.Model(images, layer(images))
    layer.set_weights([np.full((3, 3, 3, 2), np.nan), np.zeros(2)])
    with pytest.raises(InvalidInput, match="expected weights that are finite numbers, got NaN"):
        feature_maps(model, np.zeros((1, 32, 32, 3), np.uint8), extractor="x:y", input_size=32)


def test_features_that_are_all_zero() -> None:
    with pytest.raises(InvalidInput, match="zeros only"):
        row_space([np.zeros((4, 9), np.float32)])


def test_maps_of_different_images(case: FeatureCase) -> None:
    with pytest.raises(InvalidInput, match=r"lengths \[80, 79\]"):
        row_space([case.maps[0], case.maps[0][1:]])
    with pytest.raises(InvalidInput, match=r"lengths \[\]"):
        row_space([])


def _evaluated(
    classifier: str, features: np.ndarray, labels: np.ndarray, splits: list[Split], **options: Any
) -> None:
    evaluate(
        classifier,
        ClassifierSettings(),
        features=features,
        rows=features.astype(np.float64),
        labels=labels,
        splits=splits,
        seed=1,
        **options,
    )


def _split(train: Any, validation: Any) -> Split:
    return Split("report", "report", 1, np.array(train, int), np.array(validation, int))


ROWS = np.arange(80)


@pytest.mark.parametrize("classifier", FAMILIES)
@pytest.mark.parametrize(
    ("split", "message"),
    [
        (_split(ROWS, []), "split report, validation: expected rows in 0..79, got none"),
        (_split([], ROWS), "split report, train: expected rows in 0..79, got none"),
        (_split(ROWS[:70], ROWS[70:] + 1), "expected rows in 0..79, got 71..80"),
        (_split(ROWS[1:] - 2, [79]), "expected rows in 0..79, got -1..77"),
        (_split(ROWS, ROWS[:1]), "the same rows train and validate"),
        (_split(ROWS[16:], ROWS[:16]), "every class among the training rows, got none of class 0"),
    ],
)
def test_split_that_cannot_be_used(
    split: Split, message: str, classifier: str, case: FeatureCase
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _evaluated(classifier, case.maps[0], case.labels, [split])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(79, int), "expected 80 integers"),
        (np.zeros((80, 2), int), "expected 80 integers"),
        (np.zeros(80), "expected 80 integers"),
        (np.full(80, -1), "expected 80 integers from 0"),
        (np.zeros(80, int), "at least two classes"),
    ],
)
def test_labels_that_do_not_belong(labels: np.ndarray, message: str, case: FeatureCase) -> None:
    with pytest.raises(InvalidInput, match=message):
        _evaluated("knn", case.maps[0], labels, case.splits)


def test_array_that_a_classifier_needs_is_missing(case: FeatureCase) -> None:
    for classifier in FAMILIES:
        read = "features" if classifier in ("naive_bayes", "random_forest") else "rows"
        with pytest.raises(InvalidInput, match=f"{classifier}: expected `{read}`"):
            evaluate(
                classifier, ClassifierSettings(), labels=case.labels, splits=case.splits, seed=1
            )


def test_search_with_one_training_image_of_a_class(case: FeatureCase) -> None:
    split = _split(ROWS[15:], ROWS[:15])
    with pytest.raises(InvalidInput, match="at least 2 training images a class, got 1"):
        _evaluated("knn", case.maps[0], case.labels, [split], search=True)


def test_search_with_one_scene_of_a_class(case: FeatureCase) -> None:
    groups = np.where(case.labels == 1, 100, ROWS)
    with pytest.raises(InvalidInput, match="got 1, near-duplicates counted once; add images or"):
        _evaluated("knn", case.maps[0], case.labels, case.splits, search=True, groups=groups)


def test_search_whose_near_duplicates_span_classes_so_that_no_two_folds_hold_each() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2])
    groups = np.array([0, 1, 0, 2, 1, 2, 6, 7, 8])
    features = np.random.default_rng(0).random((9, 4), np.float32)
    split = _split(range(6), range(6, 9))
    with pytest.raises(InvalidInput, match="every class in at least 2 folds"):
        _evaluated("knn", features, labels, [split], search=True, groups=groups)


def test_groups_of_other_images(case: FeatureCase) -> None:
    with pytest.raises(InvalidInput, match=r"groups: expected one for each label, got \(79,\)"):
        _evaluated("knn", case.maps[0], case.labels, case.splits, groups=ROWS[1:])
