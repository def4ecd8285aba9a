"""Grey files of 16 bits that hold 12 are predicted as the training read them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Store
from flowers17.data.images import image_set
from flowers17.data.source import source_from
from flowers17.digests import sha256_of
from flowers17.prediction.models import Loader, open_model, predictions
from flowers17.prediction.pictures import Block, blocks
from tests.support.stores import publish
from tests.support.tiny_training import SIZE
from tests.unit.prediction.made_models import Maker, network


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Class folders of microscope images with levels of 12 bits in files of 16."""
    rng = np.random.default_rng(3)
    for name in ("cell", "debris"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(3):
            grey = rng.integers(0, 4096, (40, 40)).astype(np.uint16)
            Image.fromarray(grey).save(tmp_path / "own" / name / f"{number}.tif")
    return tmp_path / "own"


def test_squares_are_those_of_the_data_set(root: Path) -> None:
    images = image_set(source_from(str(root)), size=SIZE)
    assert images.source["depth"] == 12
    paths = [str(root / name) for name in images.names]
    [block] = blocks(paths, [SIZE], 8, pytest.fail, depth=12)
    assert np.array_equal(block.squares[SIZE], images.images)
    [dark] = blocks(paths, [SIZE], 8, pytest.fail)
    assert dark.squares[SIZE].max() < 16


def test_model_predicts_what_it_learned_from(root: Path, tmp_path: Path) -> None:
    maker = Maker(Store(tmp_path / "store"))
    images = publish(maker.store, stage="images", metrics={"depth": 12})
    plain = network(maker, "plain")
    material = plain.manifest["material"] | {"seed": 1}
    deep = publish(
        maker.store,
        sha256_of(material),
        {name: (plain.path / name).read_bytes() for name in plain.manifest["files"]},
        stage="training",
        label="deep",
        material=material,
        inputs={"images": images.reference.to_json()},
    )
    loader = Loader(maker.store, device="cpu")
    model = open_model(deep.manifest, loader)
    assert (model.depth, open_model(plain.manifest, loader).depth) == (12, 16)
    decoded = image_set(source_from(str(root)), size=SIZE)
    paths = [str(root / name) for name in decoded.names]
    expected = model.answers(Block(tuple(paths), {SIZE: decoded.images})).proba
    predicted = [list(each.proba.values()) for each in predictions(model, paths, pytest.fail)]
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)
