"""Networks carry the weights they are given, and their features depend on the images alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.backbones.facts import known_facts
from flowers17.errors import InvalidInput
from flowers17.transfer.extractors import build_extractor, feature_maps, resized
from flowers17.transfer.weights import resolve_weights
from tests.unit.transfer.networks import SIZE, WRITERS, small_network

REAL_WEIGHTS = Path(__file__).parents[4] / "shared" / "weights"


@pytest.fixture(scope="module")
def network() -> Any:
    return small_network()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)


def _features(model: Any, images: np.ndarray, **options: Any) -> np.ndarray:
    return feature_maps(model, images, extractor="mobilenet", input_size=SIZE, **options)


def _weights(model: Any) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights]


def test_untrained_weights_depend_on_the_seed_alone(network: Any) -> None:
    import keras

    keras.utils.set_random_seed(99)
    for weight, twin in zip(_weights(network), _weights(small_network()), strict=True):
        np.testing.assert_array_equal(weight, twin)
    kernels = [weight.name == "kernel" for weight in network.weights]
    for is_kernel, weight, twin in zip(
        kernels, _weights(network), _weights(small_network(seed=2)), strict=True
    ):
        assert not is_kernel or (weight != twin).any()


@pytest.mark.parametrize(
    "extractor", ["mobilenet", pytest.param("xception", marks=pytest.mark.long)]
)
def test_untrained_network_passes_signal_through(extractor: Any, images: np.ndarray) -> None:
    model = build_extractor(extractor, input_size=96, weights_path=None, seed=1)
    features = feature_maps(model, images, extractor=extractor, input_size=96)
    assert 0.01 < features.std(axis=0).mean() < 1e6  # normalisation takes the scale away


OF_KERAS_3, OF_KERAS_2 = "mobilenet_notop.weights.h5", "mobilenet_1_0_224_tf_no_top.h5"


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("keras3", OF_KERAS_2),
        ("legacy", OF_KERAS_3),
        ("float16", OF_KERAS_3),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (("keras3", OF_KERAS_3), ("legacy", OF_KERAS_2), ("float16", OF_KERAS_2))
        ),
    ],
)
def test_weights_are_loaded_from_every_format_under_every_name(
    format_: str, name: str, network: Any, tmp_path: Path
) -> None:
    written = WRITERS[format_](network, tmp_path / "written.weights.h5")
    path = written.rename(tmp_path / name)
    loaded = build_extractor("mobilenet", input_size=SIZE, weights_path=path, seed=5)
    tolerance = 1e-3 if format_ == "float16" else 0
    for weight, loaded_weight in zip(_weights(network), _weights(loaded), strict=True):
        assert loaded_weight.dtype == np.float32
        np.testing.assert_allclose(
            loaded_weight, weight, rtol=tolerance, atol=1e-7 if tolerance else 0
        )


def test_features_are_those_of_keras(network: Any, images: np.ndarray) -> None:
    scaled = images.astype(np.float32) / 127.5 - 1
    expected = network.predict(scaled, verbose=0).reshape(len(images), -1)
    np.testing.assert_allclose(_features(network, images), expected, rtol=1e-4, atol=1e-6)


def test_caffe_networks_see_blue_first_and_no_mean() -> None:
    import keras

    probe = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Identity()])
    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[..., 0] = 255
    output = feature_maps(probe, images, extractor="vgg16", input_size=32, pooling="average")
    np.testing.assert_allclose(output, [[-103.939, -116.779, 255 - 123.68]], rtol=1e-6)


def test_batches_change_nothing_but_rounding(network: Any, images: np.ndarray) -> None:
    features = _features(network, images, batch_size=7)
    for batch_size in (1, 3, 64):
        np.testing.assert_allclose(
            _features(network, images, batch_size=batch_size), features, rtol=1e-4, atol=1e-5
        )


def test_same_batches_give_the_same_bytes(network: Any, images: np.ndarray) -> None:
    first, second = (_features(network, images, batch_size=3).tobytes() for _ in range(2))
    assert first == second


def test_average_is_the_mean_over_places(images: np.ndarray) -> None:
    model = build_extractor("mobilenet", input_size=64, weights_path=None, seed=1)
    options: dict[str, Any] = {"extractor": "mobilenet", "input_size": 64}
    maps = feature_maps(model, images, **options).reshape(7, 4, 1024)
    average = feature_maps(model, images, pooling="average", **options)
    np.testing.assert_allclose(average, maps.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_mirrored_is_the_mean_of_an_image_and_its_mirror_image(images: np.ndarray) -> None:
    model = build_extractor("mobilenet", input_size=64, weights_path=None, seed=1)
    options: dict[str, Any] = {"extractor": "mobilenet", "input_size": 64, "pooling": "average"}
    plain, flipped = (
        feature_maps(model, np.ascontiguousarray(view), **options)
        for view in (images, images[:, :, ::-1])
    )
    assert np.abs(plain - flipped).max() > 1e-3
    mean = feature_maps(model, images, mirrored=True, **options)
    np.testing.assert_allclose(mean, (plain + flipped) / 2, rtol=1e-5, atol=1e-6)


def test_progress_counts_the_images(network: Any, images: np.ndarray) -> None:
    counts: list[tuple[int, int]] = []
    _features(
        network, images, batch_size=3, progress=lambda n_done, total: counts.append((n_done, total))
    )
    assert counts == [(3, 7), (6, 7), (7, 7)]


def test_images_shrink_with_antialiasing() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    inner = resized(stripes, 16)[:, 2:-2, 2:-2]
    assert inner.min() > 120
    assert inner.max() < 135


def test_images_of_the_right_size_are_left_as_they_are(images: np.ndarray) -> None:
    assert resized(images, SIZE) is images


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((2, 32, 32), np.uint8),
        np.zeros((2, 32, 32, 4), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
)
def test_other_than_colour_images_are_refused(wrong: np.ndarray, network: Any) -> None:
    with pytest.raises(InvalidInput, match=r"expected uint8 \(n, s, s, 3\)"):
        _features(network, wrong)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("extractor", ["vgg16", "mobilenet", "xception"])
def test_real_weights_meet_the_report(extractor: Any) -> None:
    if not REAL_WEIGHTS.is_dir():
        pytest.skip(f"no folder {REAL_WEIGHTS}")
    source = resolve_weights(extractor, REAL_WEIGHTS)
    if source.kind != "file":
        pytest.skip(f"no weights of {extractor} in {REAL_WEIGHTS}")
    model = build_extractor(extractor, input_size=128, weights_path=source.path, seed=0)
    facts = known_facts()[extractor]
    shapes = {"vgg16": (4, 4, 512), "mobilenet": (4, 4, 1024), "xception": (4, 4, 2048)}
    trainable = [weight for weight in model.weights if not weight.name.startswith("moving_")]
    assert model.output_shape[1:] == shapes[extractor]
    assert len(model.layers) == facts.n_layers
    assert sum(int(np.prod(weight.shape)) for weight in trainable) == facts.n_trainable
    noise = np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    features = feature_maps(model, noise, extractor=extractor, input_size=128)
    assert 0 < features.mean() < features.max()
