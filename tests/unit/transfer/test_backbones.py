"""Networks of every family go through features, a classifier, fine-tuning and both exports."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowers17.backbones.facts import known_facts
from flowers17.config import HeadSettings, RecipeSettings
from flowers17.learners.devices import prepare
from flowers17.learners.evaluation import probabilities
from flowers17.learners.examples import Examples
from flowers17.learners.training import train
from flowers17.prediction.exporting import read, write
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.fine_tuning import cut, image_network, rates_by_block, trainable_network

N_CLASSES, SEED = 3, 5
HEAD = HeadSettings(batch_norm=True, dropout=0.5)
FAMILIES = (
    *("vgg16", "mobilenet", "mobilenetv2", "mobilenetv3small", "resnet50", "efficientnetb0"),
    *("efficientnetv2b0", "convnexttiny"),
)
FURTHER = (
    *("resnet50v2", "densenet121", "xception"),
    *("vgg19", "mobilenetv3large", "resnet101", "resnet101v2", "densenet169", "inceptionv3"),
    *("inceptionresnetv2", "efficientnetb1", "efficientnetv2b1", "efficientnetv2s"),
    *("convnextsmall", "resnet152v2"),
)
# Others differ in a last digit, since TensorFlow joins a frozen layer with what follows.
IDENTICAL = {"vgg16", "mobilenet", "mobilenetv2", "resnet50", "resnet50v2", "xception"} | {
    "convnexttiny"
}
NETWORKS = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.long) for name in FURTHER)]


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    prepare("cpu", "float32", SEED)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_serves_features_fine_tuning_and_both_exports_at_its_smallest_input(
    name: str, tmp_path: Path
) -> None:
    size = known_facts()[name].min_size
    images = np.random.default_rng(1).integers(0, 256, (12, size, size, 3), dtype=np.uint8)
    ends = []
    for stores in (True, False):
        extractor = build_extractor(name, input_size=size, weights_path=None, seed=SEED)
        if stores:
            _check_features(extractor, name, images, size)
        lower, trained, rates = _parts(extractor, name)
        over_images = image_network(lower, trained, name)
        inputs = images
        if stores:
            inputs = feature_maps(lower, images, extractor=name, input_size=size)
            inputs = inputs.reshape(len(images), *lower.output_shape[1:])
        model = trained if stores else over_images
        examples = Examples(
            inputs, np.arange(12) % N_CLASSES, np.arange(8), np.arange(8, 12), N_CLASSES
        )
        recipe = RecipeSettings(epochs=1, batch_size=8, learning_rate=1e-3)
        history = train(
            model, examples, recipe, "none", seed=SEED, folder=tmp_path / f"{stores}", rates=rates
        ).history
        ends.append((history, [np.asarray(weight).tobytes() for weight in trained.weights]))
    if name in IDENTICAL:
        assert ends[0] == ends[1]  # stored and computed activations: the same bits
    else:
        assert ends[0][0][0] == pytest.approx(ends[1][0][0], rel=1e-4)
    _check_exports(over_images, size, images, tmp_path)


def _check_features(extractor: Any, name: str, images: np.ndarray, size: int) -> None:
    maps, average, mirrored = (
        feature_maps(extractor, images, extractor=name, input_size=size, **options)
        for options in ({}, {"pooling": "average"}, {"pooling": "average", "mirrored": True})
    )
    h, w, c = extractor.output_shape[1:]
    assert maps.shape == (12, h * w * c)
    assert average.std(axis=0).mean() > 1e-6  # it tells images from each other
    np.testing.assert_allclose(average, maps.reshape(12, h * w, c).mean(axis=1), 1e-3, 1e-4)
    assert mirrored.shape == average.shape


def _parts(extractor: Any, name: str) -> tuple[Any, Any, tuple[float, ...]]:
    """Frozen part, trainable network and rates, cut at the last fifth of the depth."""
    lower, upper = cut(extractor, name, "0.2")
    assert upper is not None
    assert 0.05 < len(upper.layers) / len(extractor.layers) < 0.5
    trained = trainable_network(
        upper,
        tuple(extractor.output_shape[1:]),
        N_CLASSES,
        pooling="average",
        units=8,
        head=HEAD,
        seed=SEED,
    )
    rates = rates_by_block(trained, extractor, name, "0.2", decay=0.5)
    assert len(set(rates)) > 1
    assert len(rates) == len(trained.trainable_variables)
    return lower, trained, rates


def _check_exports(network: Any, size: int, images: np.ndarray, folder: Path) -> None:
    """The network as a model of a store is written and read in both formats."""
    expected = probabilities(network, images)
    model: Any = SimpleNamespace(
        name="made",
        sizes=frozenset({size}),
        classes=("a", "b", "c"),
        resize="crop",
        applied=lambda inputs: network(inputs[size]),
    )
    for path in (folder / "model.keras", folder / "model.onnx"):
        write(model, path)
        np.testing.assert_allclose(read(path)({"image": images}), expected, atol=2e-4)
