"""After `features`, `learners` or `finetune` alone, `predict` and `export` work."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Artifact, Store
from flowers17.cli import main
from flowers17.prediction import exporting
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.classifiers import Classifier
from flowers17.prediction.models import Loader, open_model
from flowers17.prediction.pictures import blocks
from flowers17.request import request_from
from flowers17.transfer.rowspace import side_by_side
from flows.flow_names import FLOWS
from tests.support.builds import built
from tests.support.tiny_backbone import BACKBONE
from tests.support.tiny_training import prepared

pytestmark = pytest.mark.slow

EXTRACTOR = f"extractor: '{BACKBONE}'"
MAPS = f"[{{{EXTRACTOR}, mirrored: true, pooling: average}}, {{{EXTRACTOR}}}]"
SETTINGS = {
    "features": (
        "features.weights=random",
        f"features.table=[{{{EXTRACTOR}}}]",
        "features.classifiers.random_forest.n_estimators=20",
        f"features.combinations=[{{maps: {MAPS}, classifier: svm, search: true}}, "
        f"{{maps: {MAPS}, classifier: knn, n_components: 5, search: true}}, "
        f"{{maps: {MAPS}, classifier: random_forest, n_components: 5}}]",
    ),
    "learners": (
        "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
        "learners.plain=[tiny]",
        "learners.augmented=[]",
        "learners.best=[]",
        "learners.recipe.epochs=3",
        "learners.recipe.batch_size=9",
        "learners.precision=float32",
        "learners.refit=true",
    ),
    "finetune": (
        "features.weights=random",
        "learners.precision=float32",
        "fine_tuning.table=[]",
        f"fine_tuning.own=[{{maps: {{{EXTRACTOR}, pooling: average}}, recipe: best}}]",
        "fine_tuning.own_splits=2",
        "fine_tuning.units=16",
        "fine_tuning.own_phase_a.epochs=2",
        "fine_tuning.own_phase_a.batch_size=9",
        "fine_tuning.own_phase_b.epochs=2",
        "fine_tuning.own_phase_b.batch_size=9",
        "fine_tuning.refit=true",
    ),
}
DATA = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=2",
)
BOTH = f"{BACKBONE}-average-mirrored + {BACKBONE}"
FORMS = {
    f"svm on {BACKBONE}": ".keras",
    f"random_forest on {BACKBONE}": ".onnx",
    f"svm on {BOTH}, searched": ".onnx",
    f"knn on {BOTH}, 5 components, searched": ".keras",
}


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """Stores in which one flow ran alone, by flow."""
    root, stores = tmp_path_factory.mktemp("flows"), dict[str, Store]()
    for flow, settings in SETTINGS.items():
        request = request_from([*DATA, *settings], store=root / flow, device="cpu")
        stages = FLOWS[flow].stages(request.settings, request.options)
        stores[flow] = built(stages, root / flow)
    return stores


@pytest.fixture(scope="module")
def paths(stores: dict[str, Store], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The data set's images as files."""
    folder = tmp_path_factory.mktemp("images")
    [images] = _artifacts(stores["features"], "images").values()
    paths = [folder / f"{row:03d}.png" for row in range(len(images.array("labels")))]
    for path, pixels in zip(paths, images.array("images"), strict=True):
        Image.fromarray(pixels).save(path)
    return [str(path) for path in paths]


def _artifacts(store: Store, stage: str) -> dict[str, Artifact]:
    manifests = [manifest for manifest in store.manifests() if manifest["stage"] == stage]
    return {
        manifest["label"]: Artifact(store.folder(stage, manifest["key"]), manifest)
        for manifest in manifests
    }


def _exit_code(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--device", "cpu", "--own-learner", BACKBONE])
    return end.value.code or 0


def _loader(store: Store) -> Loader:
    return Loader(store, device="cpu", own_learners=[BACKBONE])


def _proba(store: Store, name: str, paths: list[str]) -> np.ndarray:
    model = open_model(Catalogue(store).named(name).manifest, _loader(store))
    return np.concatenate(
        [model.answers(block).proba for block in blocks(paths, model.sizes, 7, pytest.fail)]
    )


@pytest.mark.parametrize("flow", SETTINGS)
def test_a_flow_alone_is_enough_to_predict(
    flow: str, stores: dict[str, Store], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(stores[flow].root)
    assert _exit_code("predict", *paths[:3], "--store", store, "--json") == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["path"] for line in printed.out.splitlines()] == paths[:3]
    assert "the single model with the best validation accuracy of the newest study" in printed.err
    assert "fitted on all 36 images" in printed.err


def test_every_classifier_says_what_scikit_learn_said_and_fits_nothing(
    stores: dict[str, Store], paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted while predicting")

    for name in ("RandomForestClassifier", "SVC", "LogisticRegression", "KNeighborsClassifier"):
        monkeypatch.setattr(f"flowers17.transfer.classifiers.{name}.fit", refuse)
    fitted, loader = _artifacts(stores["features"], "fitted"), _loader(stores["features"])
    assert len(fitted) == 8
    for name, artifact in fitted.items():
        stored = artifact.array("proba")
        maps = [
            loader.artifact(artifact.manifest["inputs"][name])
            for name in artifact.manifest["material"]["config"]["maps"]
        ]
        columns = side_by_side([each.array("features") for each in maps]).astype(np.float64)
        model = open_model(artifact.manifest, loader)
        assert isinstance(model, Classifier)
        exact = model.network.predict_on_batch(columns)
        np.testing.assert_allclose(exact, stored, atol=1e-6, err_msg=name)
        proba = _proba(stores["features"], name, paths[3:29])
        assert proba.shape == (26, 3)
        if "knn" not in name:  # an image that trained is all but at no distance from itself
            np.testing.assert_allclose(proba, stored[3:29], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        pytest.param(*form, marks=[pytest.mark.long] * form[0].startswith("svm"))
        for form in FORMS.items()
    ],
)
def test_an_exported_classifier_says_it_too(
    name: str,
    ending: str,
    stores: dict[str, Store],
    paths: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, store, label = tmp_path / f"model{ending}", stores["features"], f"{name}, all images"
    assert _exit_code("export", label, "--to", str(file), "--store", str(store.root)) == 0
    assert "fitted on all 36 images; checked on" in capsys.readouterr().err
    [images] = _artifacts(store, "images").values()
    exported = exporting.read(file)({"image": images.array("images")})
    np.testing.assert_allclose(exported, _proba(store, label, paths), atol=1e-4)
    card = file.with_name(f"{file.name}.md").read_text()
    measured = _artifacts(store, "fitted")[label].json("result")["measured"]
    assert measured["split"] == "clean"
    assert "The model was then fitted on all 36 images" in card
    assert f"On the {measured['n_validation']} held-out images:" in card
    assert f"| accuracy | {measured['accuracy']:.3f} | " in card
    assert "on 9 of the images that it was fitted on: its probabilities" in card
    assert "accuracy, mean over 2 clean splits, the same training on each" in card


@pytest.mark.parametrize("flow", ["learners", "finetune"])
def test_a_refitted_network_predicts_what_it_stored_and_shows_how_another_was_measured(
    flow: str, stores: dict[str, Store], paths: list[str], tmp_path: Path
) -> None:
    store = stores[flow]
    entry, _ = Catalogue(store).default()
    artifact = Artifact(store.folder(*entry.place), entry.manifest)
    np.testing.assert_allclose(_proba(store, entry.name, paths), artifact.array("proba"), atol=1e-5)
    split = Loader(store).artifact(entry.manifest["inputs"]["split"])
    assert split.array("train").tolist() == list(range(36))
    measured = Loader(store).artifact(entry.manifest["inputs"]["fold-01"])
    assert entry.score.n_correct == measured.json("result")["n_correct"]
    assert (entry.score.n_train, entry.fitted_on) == (27, "all 36 images")
    file = tmp_path / "model.keras"
    assert _exit_code("export", entry.name, "--to", str(file), "--store", str(store.root)) == 0
    card = file.with_name("model.keras.md").read_text()
    assert "The model was then fitted on all 36 images" in card
    assert ("mean over 2 clean splits" in card) is (flow == "finetune")


def test_the_list_has_one_measure_a_column(
    stores: dict[str, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--list", "--json", "--store", str(stores["features"].root)])
    listed = json.loads(capsys.readouterr().out)
    evaluated = {
        f"{label}, all images": artifact.json("result")["splits"]
        for label, artifact in _artifacts(stores["features"], "classifier").items()
    }
    assert {model["name"] for model in listed} == evaluated.keys()
    for model in listed:
        [clean] = [split for split in evaluated[model["name"]] if split["name"] == "clean"]
        assert model["accuracy"] == clean["accuracy"]
        assert model["measured_on"] == f"{clean['n_validation']} held out, clean split"
        assert (model["cross_validated"], model["fitted_on"]) == (None, "all 36 images")
        splits = evaluated[model["name"]]
        repeated = [split["accuracy"] for split in splits if split["kind"] == "repeated"]
        assert model["n_clean_splits"] == len(repeated) == 2
        assert model["over_clean_splits"] == pytest.approx(np.mean(repeated))
    best = max(model["over_clean_splits"] for model in listed)
    entry, _ = Catalogue(stores["features"]).default()
    assert entry.share == best  # as the report's best over clean splits
