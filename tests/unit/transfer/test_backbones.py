"""Networks of every family go through features, a classifier, fine-tuning and both exports."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from flowers17.backbones.facts import known_facts
from flowers17.config import ClassifierSettings, HeadSettings, RecipeSettings
from flowers17.data.splits import Split
from flowers17.errors import InvalidSettings
from flowers17.learners.devices import prepare
from flowers17.learners.evaluation import probabilities
from flowers17.learners.examples import Examples
from flowers17.learners.images import scaled
from flowers17.learners.training import train
from flowers17.prediction.exporting import read, write
from flowers17.transfer.classifier_evaluation import evaluate
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.fine_tuning import cut, image_network, rates_by_block, trainable_network
from flowers17.transfer.rowspace import row_space, side_by_side

N_CLASSES, SEED = 3, 5
HEAD = HeadSettings(batch_norm=True, dropout=0.5)
# `-m long` runs the others, one at a time: writing ONNX of a large one takes 17 GB of memory.
# VGG16 and MobileNet: also in test_fine_tuning.py, part by part.
DEFAULT = ("mobilenet",)
FURTHER = (
    *("vgg16", "mobilenetv3small", "efficientnetb0"),
    *("vgg19", "mobilenetv2", "mobilenetv3large", "resnet50", "resnet101", "resnet50v2"),
    *("resnet101v2", "resnet152v2", "densenet121", "densenet169", "xception", "inceptionv3"),
    *("inceptionresnetv2", "efficientnetb1", "efficientnetv2b0", "efficientnetv2b1"),
    *("efficientnetv2s", "convnexttiny", "convnextsmall"),
)
LONG = (pytest.mark.long, pytest.mark.timeout(3000))
NETWORKS = [*DEFAULT, *(pytest.param(name, marks=LONG) for name in FURTHER)]


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
            _check_features(extractor, name, images)
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
    assert ends[0] == ends[1]  # stored and computed activations: the same bits
    _check_exports(over_images, size, images, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_network_that_cannot_be_cut_serves_features_and_a_head_and_says_why(tmp_path: Path) -> None:
    name, size = "nasnetmobile", 32
    images = np.random.default_rng(1).integers(0, 256, (12, size, size, 3), dtype=np.uint8)
    extractor = build_extractor(name, input_size=size, weights_path=None, seed=SEED)
    _check_features(extractor, name, images)
    with pytest.raises(InvalidSettings, match=r"expected a share at which one tensor alone crosse"):
        cut(extractor, name, "0.2")
    lower, upper = cut(extractor, name, None)
    trained = _trainable(upper, extractor)
    _check_exports(image_network(lower, trained, name), size, images, tmp_path)


def _check_features(extractor: Any, name: str, images: np.ndarray) -> None:
    """Features are what they should be, and a classifier on them is scikit-learn's."""
    maps, average, mirrored = (
        feature_maps(extractor, images, extractor=name, input_size=images.shape[1], **options)
        for options in ({}, {"pooling": "average"}, {"pooling": "average", "mirrored": True})
    )
    h, w, c = extractor.output_shape[1:]
    assert maps.shape == (12, h * w * c)
    assert average.std(axis=0).mean() > 1e-6  # it tells images from each other
    np.testing.assert_allclose(average, maps.reshape(12, h * w, c).mean(axis=1), 1e-3, 1e-4)
    assert mirrored.shape == average.shape
    split = Split("clean", "clean", 1, np.arange(8), np.arange(8, 12))
    labels = np.arange(12) % N_CLASSES
    [result] = evaluate(
        "logistic_regression",
        ClassifierSettings(),
        rows=row_space([maps, mirrored]),
        labels=labels,
        splits=[split],
        seed=SEED,
    )
    columns = side_by_side([maps, mirrored]).astype(np.float64)
    plain = LogisticRegression(C=100, tol=1e-8, max_iter=10_000).fit(columns[:8], labels[:8])
    np.testing.assert_allclose(result.proba, plain.predict_proba(columns[8:]), atol=1e-4)


def _parts(extractor: Any, name: str) -> tuple[Any, Any, tuple[float, ...]]:
    """Frozen part, trainable network and rates, cut at the last fifth of the depth."""
    lower, upper = cut(extractor, name, "0.2")
    assert upper is not None
    assert 0.05 < len(upper.layers) / len(extractor.layers) < 0.5
    trained = _trainable(upper, extractor)
    rates = rates_by_block(trained, extractor, name, "0.2", decay=0.5)
    assert len(set(rates)) > 1
    assert len(rates) == len(trained.trainable_variables)
    return lower, trained, rates


def _trainable(upper: Any, extractor: Any) -> Any:
    shape = tuple(extractor.output_shape[1:])
    options: Any = {"pooling": "average", "units": 8, "head": HEAD, "seed": SEED}
    return trainable_network(upper, shape, N_CLASSES, **options)


def _check_exports(network: Any, size: int, images: np.ndarray, folder: Path) -> None:
    """The network as a model of a store is written and read in both formats.

    What rounding does to the probabilities of a deep untrained network is measured: on other
    numbers than those of the images in their last digits.
    """
    expected = probabilities(network, images)
    inputs = scaled(images)
    moved = [probabilities(network, inputs * np.float32(1 + sign * 2e-7)) for sign in (-1, 1)]
    rounding = max(np.abs(each - expected).max() for each in moved)
    model: Any = SimpleNamespace(
        name="made",
        sizes=frozenset({size}),
        classes=("a", "b", "c"),
        resize="crop",
        depth=8,
        applied=lambda inputs: network(inputs[size]),
    )
    for path in (folder / "model.keras", folder / "model.onnx"):
        write(model, path)
        np.testing.assert_allclose(
            read(path)({"image": images}), expected, atol=max(2e-4, 10 * rounding)
        )
