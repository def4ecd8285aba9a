"""Networks by file and by function through features, classifiers, fine-tuning and prediction."""

from pathlib import Path

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import InvalidInput, WeightsMissing
from flowers17.prediction.models import Loader, open_model
from flowers17.prediction.networks import extractor_of
from flowers17.prediction.pictures import Block
from tests.support.processes import output_of

pytestmark = pytest.mark.slow

MODULE = """
import keras

def network(shape):
    keras.utils.set_random_seed(1)
    images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    for number in (1, 2, 3):
        x = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"block{number}_conv")(x)
        x = keras.layers.Dropout(0.2)(x)
    return keras.Model(images, x)
"""
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "learners.precision=float32",
    "features.weights=imagenet",
    "features.table=[{extractor: 'file:mine.keras', pooling: average}]",
    "features.combinations=[]",
    "features.classifiers.names=[logistic_regression]",
    "fine_tuning.table=[]",
    "fine_tuning.own=[{maps: {extractor: 'mine_network:network', pooling: average}, recipe: best}]",
    "fine_tuning.own_splits=1",
    "fine_tuning.own_layer_decay=0.5",
    "fine_tuning.unfrozen={'mine_network:network': block2}",
    "fine_tuning.units=8",
    "fine_tuning.own_phase_a.epochs=1",
    "fine_tuning.own_phase_a.batch_size=8",
    "fine_tuning.own_phase_b.batch_size=8",
    "fine_tuning.own_phase_b.epochs=2",
)
CODE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from flowers17.artifacts import Store
from flowers17.request import request_from
from flowers17.stages import ensure, in_order
from flows import features, finetune
import mine_network

mine_network.network((None, None, 3)).save(sys.argv[2] + "/mine.keras")
store, done = Store(sys.argv[1]), {}
request = request_from(
    sys.argv[3:], store=store.root, device="cpu", weights_dir=Path(sys.argv[2])
)
parts = [
    *features.parts(request.settings, request.options),
    *finetune.parts(request.settings, request.options),
]
for stage in in_order(parts):
    given = {name: done[needed.label] for name, needed in stage.inputs.items()}
    done[stage.label] = ensure(stage, given, store).reference
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with the stages of both flows, and the folder of the user's files."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine_network.py").write_text(MODULE)
    output_of(CODE, str(folder / "store"), str(folder), *SETTINGS, timeout=500)
    return folder / "store", folder


def _artifact(store: Path, stage: str, label: str) -> Artifact:
    for manifest in Store(store).manifests():
        if manifest["stage"] == stage and label in manifest["label"]:
            return Artifact(store / stage / manifest["key"], manifest)
    raise AssertionError(label)


def test_keys_hold_the_digests_of_file_and_code_and_no_path(built: tuple[Path, Path]) -> None:
    store, folder = built
    features = _artifact(store, "features", "file:mine.keras").manifest["material"]["config"]
    assert features["extractor"] == "file:mine.keras"
    assert features["weights"]["kind"] == "file"
    assert len(features["weights"]["sha256"]) == 64
    tuning = _artifact(store, "finetuning", "phase b").manifest["material"]["config"]
    assert tuning["unfrozen_from"] == "block2"
    assert len(tuning["weights"]["code"]) == 64
    for manifest in Store(store).manifests():
        assert str(folder) not in str(manifest["material"])


def test_fine_tuned_function_predicts_as_it_was_measured_if_it_may_run(
    built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = built
    monkeypatch.syspath_prepend(str(folder))
    artifact = _artifact(store, "finetuning", "phase b")
    with pytest.raises(InvalidInput, match="add `--own-learner mine_network:network`"):
        extractor_of(artifact, Loader(Store(store), device="cpu"))
    own = Loader(Store(store), device="cpu", own_learners=["mine_network:network"])
    images = _artifact(store, "images", "images").array("images")
    model = open_model(artifact.reference.to_json(), own)
    block = Block(tuple(map(str, range(len(images)))), {32: images})
    proba = np.asarray(model.answers(block).proba)
    stored = artifact.array("proba")
    assert np.abs(proba - stored).max() < 1e-4


def test_features_of_a_file_are_computed_anew_where_the_file_is(built: tuple[Path, Path]) -> None:
    store, folder = built
    artifact = _artifact(store, "features", "file:mine.keras")
    model = extractor_of(artifact, Loader(Store(store), weights_dir=folder, device="cpu"))
    assert model.output_shape == (None, 3, 3, 8)
    with pytest.raises((InvalidInput, WeightsMissing), match="expected its file, found none"):
        extractor_of(artifact, Loader(Store(store), device="cpu"))
