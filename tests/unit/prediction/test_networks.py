"""A network of a store says what the network that was trained said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Store
from flowers17.config import RecipeSettings
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.learners.evaluation import probabilities
from flowers17.prediction.models import Loader, open_model, predictions
from flowers17.prediction.pictures import Block
from tests.support.tiny_training import SIZE, STACKED, STATEFUL, examples, fresh, prepared
from tests.unit.prediction.made_models import CLASSES, TWO_SIZES, Maker, network

NO_FUNCTION = "no_such_module:network"
IMAGES = examples().inputs
BLOCK = Block(tuple(f"{number}.png" for number in range(len(IMAGES))), {SIZE: IMAGES})


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A maker that publishes in an empty store."""
    return Maker(Store(tmp_path / "store"))


def _loader(maker: Maker) -> Loader:
    return Loader(maker.store, device="cpu", own_learners=[STATEFUL, NO_FUNCTION])


def _moved(model: keras.Model) -> keras.Model:
    """Return the model with every weight, moving averages too, other than a new one's."""
    draws = np.random.default_rng(1)
    for weights in model.weights:
        weights.assign(np.abs(weights.numpy() + 0.1 * draws.standard_normal(weights.shape)))
    return model


@pytest.mark.parametrize(
    ("learner", "recipe"),
    [(STACKED.name, RecipeSettings()), (STATEFUL, TWO_SIZES)],
    ids=["of a definition", "of a function, of any size, with flips"],
)
def test_says_the_same_to_the_last_bit(learner: str, recipe: RecipeSettings, maker: Maker) -> None:
    model = _moved(fresh(learner, any_size=learner == STATEFUL))
    artifact = network(maker, "tiny", model, learner=learner, recipe=recipe)
    opened = open_model(artifact.manifest, _loader(maker))
    assert (opened.name, opened.sizes, list(opened.classes)) == ("tiny", {SIZE}, CLASSES)
    answers = opened.answers(BLOCK)
    expected = probabilities(model, IMAGES, flips=recipe.flips_at_test)
    np.testing.assert_array_equal(answers.proba, expected)
    assert answers.proba.dtype == np.float32
    assert answers.members is None


def test_is_built_in_its_own_precision_and_leaves_the_process_s(maker: Maker) -> None:
    half = network(maker, "half", precision="mixed_bfloat16")
    model: Any = open_model(half.manifest, _loader(maker))
    assert model.keras_model.layers[1].dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_is_opened_once_a_run(maker: Maker) -> None:
    artifact, loader = network(maker, "tiny"), _loader(maker)
    assert open_model(artifact.manifest, loader) is open_model(artifact.reference.to_json(), loader)


class TestRefuses:
    def test_a_store_whose_weights_were_changed(self, maker: Maker) -> None:
        artifact = network(maker, "tiny")
        with (artifact.path / "weights/000.npy").open("r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"\x7f")
        with pytest.raises(ArtifactDamaged, match=r"weights/000\.npy: its bytes are not those"):
            open_model(artifact.manifest, _loader(maker))

    def test_a_store_without_it(self, maker: Maker) -> None:
        artifact = network(maker, "tiny")
        artifact.path.rename(maker.store.root / "elsewhere")
        with pytest.raises(ArtifactMissing, match="expected an artifact, found nothing"):
            open_model(artifact.manifest, _loader(maker))

    def test_weights_of_another_network(self, maker: Maker) -> None:
        other_network = fresh(STATEFUL, any_size=True)
        artifact = network(maker, "tiny", other_network, learner=STACKED.name)
        with pytest.raises(InvalidInput, match="tiny: expected weights of shapes"):
            open_model(artifact.manifest, _loader(maker)).answers(BLOCK)

    def test_a_function_that_was_changed_since(self, maker: Maker) -> None:
        artifact = network(maker, "own", learner=STATEFUL, definition={"sha256": "0" * 64})
        with pytest.raises(InvalidInput, match=r"expected the module .*tiny_training"):
            open_model(artifact.manifest, _loader(maker)).answers(BLOCK)

    def test_a_function_that_is_no_longer_there(self, maker: Maker) -> None:
        network_weights = fresh()
        artifact = network(
            maker, "own", network_weights, learner=NO_FUNCTION, definition={"sha256": "0" * 64}
        )
        with pytest.raises(InvalidInput, match="got none; put the file that it was trained with"):
            open_model(artifact.manifest, _loader(maker)).answers(BLOCK)

    def test_a_training_of_an_older_version(self, maker: Maker) -> None:
        result = {**network(maker, "tiny").json("result")}
        del result["classes"]
        old = maker.publish("training", "older", {"result": result})
        with pytest.raises(InvalidInput, match="older: expected a training that names its classes"):
            open_model(old.manifest, _loader(maker))


def test_images_are_made_square_as_the_training_s_were(maker: Maker, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 40, 3), np.uint8)).save(
        tmp_path / "wide.png"
    )
    probas = []
    for config in ({}, {"resize": "pad"}):
        artifact = network(maker, "tiny", config=config)
        model = open_model(artifact.manifest, Loader(maker.store, device="cpu"))
        assert model.resize == config.get("resize", "crop")
        [prediction] = predictions(model, [str(tmp_path / "wide.png")], pytest.fail)
        probas.append(prediction.proba)
    assert probas[0] != probas[1]
