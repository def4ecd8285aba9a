"""Features of new images, by the weights that the stored ones were computed with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from flowers17.artifacts import Store
from flowers17.digests import file_sha256
from flowers17.errors import ChecksumMismatch, WeightsMissing
from flowers17.prediction.classifiers import FeatureMap
from flowers17.prediction.models import Loader
from flowers17.prediction.pictures import Block
from flowers17.transfer.extractors import feature_maps
from tests.support.tiny_training import prepared
from tests.unit.prediction.made_models import Maker
from tests.unit.transfer.networks import SIZE, keras3_file, small_network

FILE_NAME = "mobilenet_notop.weights.h5"


class TestWeights:
    @pytest.fixture(autouse=True)
    def _no_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    def _map(self, tmp_path: Path, weights: Mapping[str, str | None]) -> FeatureMap:
        """Return a map of a made artifact; its weights are looked for in the folder `weights`."""
        maker = Maker(Store(tmp_path / "store"))
        images = maker.publish("images", "images", {}, config={"size": SIZE})
        config = {
            "extractor": "mobilenet",
            "input_size": SIZE,
            "pooling": "average",
            "weights": {"seed": None, **weights},
        }
        inputs = {"images": images}
        artifact = maker.publish("features", "features mobilenet", {}, config=config, inputs=inputs)
        (tmp_path / "weights").mkdir(exist_ok=True)
        loader = Loader(maker.store, weights_dir=tmp_path / "weights", device="cpu")
        return FeatureMap(artifact, loader)

    def _block(self) -> Block:
        draws = np.random.default_rng(2)
        images = draws.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
        return Block(("a", "b", "c"), {SIZE: images})

    def test_of_a_file_give_the_extractor_s_own_features(self, tmp_path: Path) -> None:
        with prepared():
            model = small_network()
            (tmp_path / "weights").mkdir()
            file = keras3_file(model, tmp_path / "weights" / FILE_NAME)
            feature_map = self._map(tmp_path, {"kind": "file", "sha256": file_sha256(file)})
            block = self._block()
            features = feature_map.of(block)
            expected = feature_maps(
                model,
                block.squares[SIZE],
                extractor="mobilenet",
                input_size=SIZE,
                pooling="average",
            )
            np.testing.assert_array_equal(features, expected)
            assert feature_map.of(block) is features

    def test_other_than_those_of_the_stored_features_are_refused(self, tmp_path: Path) -> None:
        feature_map = self._map(tmp_path, {"kind": "file", "sha256": "0" * 64})
        (tmp_path / "weights" / FILE_NAME).write_bytes(b"other weights")
        with pytest.raises(ChecksumMismatch, match=r"expected the weights that .* was made"):
            feature_map.of(self._block())

    def test_that_are_nowhere_are_asked_for(self, tmp_path: Path) -> None:
        feature_map = self._map(tmp_path, {"kind": "file", "sha256": "0" * 64})
        with pytest.raises(WeightsMissing, match="give their folder as --weights-dir"):
            feature_map.of(self._block())
