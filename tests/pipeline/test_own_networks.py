"""Networks by file and by function through features, classifiers, fine-tuning and prediction."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Artifact, Store
from flowers17.cli import main
from flowers17.errors import InvalidInput, WeightsMissing
from flowers17.prediction import exporting
from flowers17.prediction.models import Loader, open_model
from flowers17.prediction.networks import extractor_of
from flowers17.prediction.pictures import Block
from tests.support.forks import exit_code
from tests.support.own_networks_study import build_study

pytestmark = pytest.mark.slow

NAME = "mine_network:network"
MAP = "{extractor: 'mine_network:network', pooling: average}"
FILE = "{extractor: 'file:mine.keras', pooling: average}"
PRESETS = ("hub:tiny_vit", "hub:tiny_resnet") if find_spec("keras_hub") else ()
MAPS = [MAP, FILE, *(f"{{extractor: '{name}', pooling: average}}" for name in PRESETS)]
TUNED = [MAP, *MAPS[2:]]
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "learners.precision=float32",
    "features.weights=imagenet",
    f"features.table=[{', '.join(MAPS)}]",
    "features.combinations=[]",
    "features.classifiers.names=[logistic_regression]",
    "fine_tuning.table=[]",
    f"fine_tuning.own=[{', '.join(f'{{maps: {maps}, recipe: best}}' for maps in TUNED)}]",
    "fine_tuning.own_splits=1",
    "fine_tuning.own_layer_decay=0.5",
    "fine_tuning.unfrozen={'mine_network:network': block2, others: '0.4'"
    + (", 'hub:tiny_vit': vit_encoder}" if PRESETS else "}"),
    "fine_tuning.units=8",
    "fine_tuning.own_phase_a.epochs=1",
    "fine_tuning.own_phase_a.batch_size=9",
    "fine_tuning.own_phase_b.batch_size=9",
    "fine_tuning.own_phase_b.epochs=2",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[logistic_regression]",
    f"ensemble.ensembles=[{{name: both, members: [{{classifier: naive_bayes, maps: [{MAP}]}}, "
    f"{{classifier: logistic_regression, maps: [{FILE}]}}]}}]",
    f"attacks.models=[{{fine_tuned: {{maps: {MAP}, recipe: best}}}}]",
    "attacks.attacks=[fgsm]",
    "attacks.methods=[average]",
    "attacks.n_images=6",
    "attacks.budgets=[8]",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with the stages of the flows and a sweep, and the folder of the user's files."""
    folder = tmp_path_factory.mktemp("own")
    axis = f"features.table=[[{MAP}], [{FILE}]]"
    assert exit_code(build_study, folder, SETTINGS, axis, bool(PRESETS)) == 0
    return folder / "store", folder


@pytest.fixture(scope="module")
def photographs(built: tuple[Path, Path]) -> list[str]:
    """Files of the first images of the data set."""
    images = _artifact(built[0], "images", "images").array("images")[:4]
    for number, image in enumerate(images):
        Image.fromarray(image).save(built[1] / f"{number}.png")
    return [str(built[1] / f"{number}.png") for number in range(4)]


def _command(built: tuple[Path, Path], *words: str) -> Any:
    """Exit code of a command as a user runs it, who names the function and the folder."""
    store, folder = built
    places = ("--store", str(store), "--weights-dir", str(folder), "--device", "cpu")
    with pytest.raises(SystemExit) as end:
        main([*words, *places, "--own-learner", NAME])
    return end.value.code or 0


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
    tuning = _model(store, *reversed(MODELS[0])).manifest["material"]["config"]
    assert tuning["unfrozen_from"] == "block2"
    assert len(tuning["weights"]["code"]) == 64
    for manifest in Store(store).manifests():
        assert str(folder) not in str(manifest["material"])


def test_fine_tuned_function_predicts_as_it_was_measured_if_it_may_run(
    built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = built
    monkeypatch.syspath_prepend(str(folder))
    artifact = _model(store, *reversed(MODELS[0]))
    with pytest.raises(InvalidInput, match="add `--own-learner mine_network:network`"):
        extractor_of(artifact, Loader(Store(store), device="cpu"))
    own = Loader(Store(store), device="cpu", own_learners=["mine_network:network"])
    images = _artifact(store, "images", "images").array("images")
    model = open_model(artifact.reference.to_json(), own)
    block = Block(tuple(map(str, range(len(images)))), {32: images})
    proba = np.asarray(model.answers(block).proba)
    stored = artifact.array("proba")
    assert np.abs(proba - stored).max() < 1e-4


MODELS = [
    (f"fine-tuning {NAME}-average", "finetuning"),
    (f"logistic_regression on {NAME}-average", "fitted"),
    ("both", "stacking"),
    *(
        (f"{kind} {name}-average", stage)
        for name in PRESETS
        for kind, stage in (("fine-tuning", "finetuning"), ("logistic_regression on", "fitted"))
    ),
]
RESNETS = [(model, ".onnx") for model in MODELS[5:6]]  # as the function above it
EXPORTS = [
    pytest.param(
        *model,
        ending,
        marks=[pytest.mark.long] * (model in MODELS[4:5] or (model, ending) in RESNETS),
    )
    for model in (MODELS[0], *MODELS[3:6])
    for ending in (".keras", ".onnx")
]


@pytest.mark.parametrize(("label", "stage"), MODELS)
def test_model_predicts_what_was_stored(
    label: str,
    stage: str,
    built: tuple[Path, Path],
    photographs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(built[1]))
    artifact = _model(built[0], stage, label)
    name = f"{stage}/{artifact.reference.key}"
    assert _command(built, "predict", *photographs, "--model", name, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"] for row in rows] == photographs
    classes = artifact.json("result")["classes"]
    if stage != "stacking":  # whose own are of the held-out images alone
        proba = [[row["uncalibrated"][each] for each in classes] for row in rows]
        np.testing.assert_allclose(proba, artifact.array("proba")[:4], atol=1e-4)


@pytest.mark.parametrize(("label", "stage", "ending"), EXPORTS)
def test_exported_model_names_its_network_in_its_card(
    label: str,
    stage: str,
    ending: str,
    built: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if ending == ".onnx":
        pytest.importorskip("tf2onnx")
    monkeypatch.syspath_prepend(str(built[1]))
    artifact = _model(built[0], stage, label)
    file = tmp_path / f"model{ending}"
    words = ("export", f"{stage}/{artifact.reference.key}", "--to", str(file))
    if "vit" in label and ending == ".keras":  # KerasHub 0.32 cannot read its layers back
        assert _command(built, *words) == 2
        assert "write a .onnx file instead" in " ".join(capsys.readouterr().err.split())
        return
    assert _command(built, *words) == 0
    images = _artifact(built[0], "images", "images").array("images")
    exported = exporting.read(file)({"image": images})
    np.testing.assert_allclose(exported, artifact.array("proba"), atol=1e-4)
    extractor = label.rpartition(" ")[2].removesuffix("-average")
    card = file.with_name(f"{file.name}.md").read_text()
    assert extractor in card.replace("\\", "")


def _model(store: Path, stage: str, label: str) -> Artifact:
    """The artifact that serves: of the last phase, on all images where it is a classifier."""
    which = {"finetuning": "phase b", "fitted": "all images", "stacking": "both"}[stage]
    [artifact] = [
        Artifact(store / stage / manifest["key"], manifest)
        for manifest in Store(store).manifests()
        if manifest["stage"] == stage
        and manifest["label"].removeprefix("stacking of ").startswith(label)
        and which in manifest["label"]
        and "clean" not in manifest["label"].replace("both, clean", "")
    ]
    return artifact


def test_attack_goes_through_a_fine_tuned_function_to_the_pixels(built: tuple[Path, Path]) -> None:
    attack = _artifact(built[0], "attack", "fgsm")
    assert attack.manifest["material"]["config"]["own_learners"] == [NAME]
    assert {run["n"] for run in attack.json("result")["runs"]} == {6}
    before, after = attack.array("confidence_before"), attack.array("confidence_after")
    assert after.mean() < before.mean()
    transfer = _artifact(built[0], "transfer", "").json("result")
    assert {source["attack"] for source in transfer["sources"]} == {"fgsm"}
    assert {victim["name"] for victim in transfer["victims"]} > {"both by average"}


def test_sweep_over_the_table_compares_the_networks(built: tuple[Path, Path]) -> None:
    summary = _artifact(built[0], "sweep", "").json("sweep")
    names = [row["combination"] for row in summary["combinations"]]
    assert len(names) == 2
    assert NAME in names[0]
    assert "file:mine.keras" in names[1]
    [accuracy] = [
        metric
        for metric in summary["metrics"]
        if metric["metric"] == "best mean accuracy (clean splits)" and metric["group"] == "all"
    ]
    assert accuracy["n"] == 2


def test_features_of_a_file_are_computed_anew_where_the_file_is(built: tuple[Path, Path]) -> None:
    store, folder = built
    artifact = _artifact(store, "features", "file:mine.keras")
    model = extractor_of(artifact, Loader(Store(store), weights_dir=folder, device="cpu"))
    assert model.output_shape == (None, 3, 3, 8)
    with pytest.raises(
        (InvalidInput, WeightsMissing), match=r"expected its file at .*, found none"
    ):
        extractor_of(artifact, Loader(Store(store), device="cpu"))
