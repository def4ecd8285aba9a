"""A user's function that gives another network at each call, where its network is built."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import InvalidInput
from flowers17.prediction.models import Loader
from flowers17.prediction.networks import extractor_of
from flowers17.request import request_from
from flowers17.stages import Stage, ensure, in_order
from flowers17.transfer.extractors import build_extractor, check_network, fingerprint
from flows import features

# The module's text stays, and stands in keys; a file tells what its function gives.
MODULE = """
from pathlib import Path
import keras

def network(shape):
    units, seed = map(int, Path(__file__).with_suffix(".txt").read_text().split())
    if seed:
        keras.utils.set_random_seed(seed)
    images = keras.Input(shape)
    return keras.Model(images, keras.layers.Conv2D(units, 3, strides=8)(images))

def varying(shape):
    path = Path(__file__).with_suffix(".txt")
    units, seed = map(int, path.read_text().split())
    path.write_text(f"{units + 1} {seed}")
    return network(shape)
"""


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "changing.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "changing.txt"
    sys.modules.pop("changing", None)


def _stages(function: str) -> dict[str, Stage]:
    maps = f"[{{extractor: 'changing:{function}', pooling: average}}]"
    request = request_from(
        [
            *("dataset.image_size=32", "features.weights=imagenet", "features.combinations=[]"),
            f"features.table={maps}",
        ]
    )
    return {each.name: each for each in in_order(features.parts(request.settings, request.options))}


@pytest.mark.parametrize(
    ("function", "content", "difference"),
    [("network", "4 0", "weights"), ("varying", "4 1", "layers")],
)
def test_function_whose_calls_differ_is_refused_by_its_first_stage(
    function: str, content: str, difference: str, numbers: Path, tmp_path: Path
) -> None:
    numbers.write_text(content)
    message = (
        f"changing:{function}: expected .*, got other {difference}; .* from a fixed seed "
        rf"\(keras.utils.set_random_seed\), or .*file:PATH.weights.h5\+changing:{function}"
    )
    with pytest.raises(InvalidInput, match=message):
        ensure(_stages(function)["backbone"], {}, Store(tmp_path / "store"))


def test_network_that_changed_since_the_study_is_refused_wherever_it_is_built(
    numbers: Path, tmp_path: Path
) -> None:
    numbers.write_text("4 1")
    stages, store = _stages("network"), Store(tmp_path / "store")
    backbone = ensure(stages["backbone"], {}, store).reference
    images = tmp_path / "images.npy"
    np.save(images, np.zeros((2, 32, 32, 3), np.uint8))
    folder = Stage.of("images", "images", f"{__name__}:save_images", {"path": str(images)})
    inputs = {"images": ensure(folder, {}, store).reference, "backbone": backbone}
    artifact = store.open(ensure(stages["features"], inputs, store).reference)
    loader = Loader(store, own_learners=["changing:network"])
    assert extractor_of(artifact, loader).output_shape == (None, 4, 4, 4)
    for content, difference in {"4 2": "weights", "5 1": "layers"}.items():
        numbers.write_text(content)
        with pytest.raises(InvalidInput, match=f"stage `backbone`, got other {difference}"):
            extractor_of(artifact, loader)
    _remove(artifact)
    with pytest.raises(InvalidInput, match=f"stage `backbone`, got other {difference}"):
        ensure(stages["features"], inputs, store)


def save_images(job: Any) -> dict[str, Any]:
    job.save_array("images", np.load(job.config["path"]))
    return {}


def _remove(artifact: Artifact) -> None:
    for path in artifact.path.iterdir():
        path.unlink()
    artifact.path.rmdir()


def test_draws_that_differ_in_a_last_digit_are_one_network(numbers: Path) -> None:
    numbers.write_text("4 1")
    options: Any = {"input_size": 32, "weights_path": None, "seed": 0}
    known = fingerprint(build_extractor("changing:network", **options))
    known["weights"] = [value * (1 + 1e-6) for value in known["weights"]]
    again = build_extractor("changing:network", **options)
    check_network(again, {"fingerprint": known}, "changing:network")
