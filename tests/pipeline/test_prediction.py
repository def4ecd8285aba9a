"""A small ensemble, then `predict` and `export`: images get what the stages stored."""

import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from flowers17.artifacts import Artifact, Store
from flowers17.cli import main
from flowers17.prediction import exporting
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.ensembles import Ensemble
from flowers17.prediction.models import Loader, MemberModels, Model, open_model
from flowers17.prediction.pictures import Block, blocks
from flowers17.request import request_from
from flowers17.site.application import site
from flowers17.site.trial import TrialOptions
from flows import ensemble
from tests.support.builds import built
from tests.support.tiny_backbone import BACKBONE
from tests.support.tiny_training import prepared

pytestmark = pytest.mark.slow

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "features.weights=random",
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    "learners.recipe.epochs=4",
    "learners.recipe.batch_size=9",
    "learners.precision=float32",
    "ensemble.n_folds=2",
    "ensemble.ensembles=[{name: mixed, members: [{learner: tiny, augmentation: none}, "
    f"{{classifier: svm, maps: [{{extractor: '{BACKBONE}', mirrored: true}}]}}, "
    f"{{classifier: naive_bayes, maps: [{{extractor: '{BACKBONE}'}}]}}]}}]",
)
SVM, BAYES = f"svm on {BACKBONE}-mirrored", f"naive_bayes on {BACKBONE}"
NETWORK, STACKED = "tiny refit, clean split", "stacking of mixed, clean split"
METHODS = (
    "average",
    "weighted_average",
    "random_forest",
    "logistic_regression",
    "gradient_boosting",
)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with an ensemble of a network and two classifiers."""
    root = tmp_path_factory.mktemp("prediction") / "store"
    request = request_from(SETTINGS, store=root, device="cpu")
    return built(ensemble.parts(request.settings, request.options), root)


@pytest.fixture(scope="module")
def paths(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the data set's images as files."""
    folder = tmp_path_factory.mktemp("images")
    [images] = _artifacts(store, "images").values()
    paths_written = [folder / f"{row:03d}.png" for row in range(len(images.array("labels")))]
    for path, pixels in zip(paths_written, images.array("images"), strict=True):
        Image.fromarray(pixels).save(path)
    return [str(path) for path in paths_written]


def _artifacts(store: Store, stage: str) -> dict[str, Artifact]:
    manifests = [manifest for manifest in store.manifests() if manifest["stage"] == stage]
    return {
        manifest["label"]: Artifact(store.folder(stage, manifest["key"]), manifest)
        for manifest in manifests
    }


def _opened(store: Store, name: str, by: MemberModels = "refit") -> Any:
    entry = Catalogue(store).named(name)
    return open_model(entry.manifest, Loader(store, device="cpu", own_learners=[BACKBONE]), by)


def _exit_code(store: Store, *words: str) -> int | str | None:
    places = ("--store", str(store.root), "--device", "cpu", "--own-learner", BACKBONE)
    with pytest.raises(SystemExit) as end:
        main([*words, *places])
    return end.value.code


def _block(model: Model, paths: list[str]) -> Block:
    [block] = blocks(paths, model.sizes, len(paths), pytest.fail)
    return block


def test_a_network_says_what_its_training_stored_to_the_last_bit(
    store: Store, paths: list[str]
) -> None:
    model = _opened(store, NETWORK)
    stored = _artifacts(store, "training")[NETWORK].array("proba")
    np.testing.assert_array_equal(model.answers(_block(model, paths)).proba, stored)


@pytest.mark.parametrize("classifier", [SVM, BAYES])
def test_a_classifier_says_what_its_stage_stored(
    classifier: str, store: Store, paths: list[str]
) -> None:
    name = f"{classifier}, clean split"
    model = _opened(store, name)
    stored = _artifacts(store, "fitted")[name].array("proba")
    answers = model.answers(_block(model, paths[5:25]))
    np.testing.assert_allclose(answers.proba, stored[5:25], atol=1e-6)


@pytest.mark.parametrize("by", ["refit", "average"])
def test_an_ensemble_s_members_say_what_its_stage_stored(
    by: MemberModels, store: Store, paths: list[str]
) -> None:
    model: Ensemble = _opened(store, STACKED, by)
    [out_of_fold] = _artifacts(store, "out_of_fold").values()
    rows = out_of_fold.array("validation")
    members = model.member_probabilities(_block(model, [paths[row] for row in rows]))
    stored = out_of_fold.array(by)[rows]
    np.testing.assert_allclose(np.concatenate(members, axis=1), stored, atol=1e-6)


@pytest.mark.parametrize("by", ["refit", "average"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_of_them_what_the_study_made(
    method: str, by: MemberModels, store: Store, paths: list[str]
) -> None:
    model: Ensemble = _opened(store, STACKED, by)
    model.method = method
    [out_of_fold], stacking = (
        _artifacts(store, "out_of_fold").values(),
        _artifacts(store, "stacking"),
    )
    rows = out_of_fold.array("validation")
    members = np.stack(np.split(out_of_fold.array(by)[rows], 3, axis=1))
    stored = stacking[STACKED].array(f"{method}-{by}-proba")
    np.testing.assert_allclose(model.combined(members), stored, rtol=1e-12, atol=1e-12)


def test_the_command_gives_the_chosen_method_s_calibrated_probabilities_and_the_agreement(
    store: Store, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stacking = _artifacts(store, "stacking")[STACKED]
    result = stacking.json("result")
    method = result["chosen"]["method"]
    [out_of_fold] = _artifacts(store, "out_of_fold").values()
    rows = out_of_fold.array("validation")
    names = [paths[row] for row in rows]
    assert not _exit_code(store, "predict", *names, "--json")
    printed = capsys.readouterr()
    assert printed.err.startswith(f"model: {STACKED}, {method.replace('_', ' ')} of its members'")
    lines = [json.loads(text) for text in printed.out.splitlines()]
    proba = np.array([list(line["probabilities"].values()) for line in lines])
    [scored] = [
        entry for entry in result["methods"] if (entry["method"], entry["by"]) == (method, "refit")
    ]
    stored = stacking.array(f"{method}-refit-proba")
    sharpened = np.maximum(stored, 1e-12) ** (1 / scored["temperature"])
    expected = sharpened / sharpened.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, expected, atol=1e-5)
    labels = out_of_fold.array("labels")[rows]
    assert (proba.argmax(axis=1) == labels).sum() == scored["n_correct"]
    each = np.stack(np.split(out_of_fold.array("refit")[rows], 3, axis=1)).argmax(axis=2)
    agreement = (each == proba.argmax(axis=1)).mean(axis=0)
    np.testing.assert_allclose([line["agreement"] for line in lines], agreement)


@pytest.mark.parametrize(
    ("name", "ending"),
    [(f"{SVM}, clean split", ".keras"), (STACKED, ".onnx")],
)
def test_a_classifier_and_an_ensemble_as_one_file_say_what_predict_says(
    name: str,
    ending: str,
    store: Store,
    paths: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / f"model{ending}"
    assert not _exit_code(store, "export", name, "--to", str(file))
    model = _opened(store, name)
    block = _block(model, paths)
    exported = exporting.read(file)({"image": block.squares[32]})
    np.testing.assert_allclose(exported, model.answers(block).proba, atol=2e-3)
    assert "held-out images right, as in the study" in capsys.readouterr().err
    card = file.with_name(f"{file.name}.md").read_text()
    assert "it shows that the pipeline works, no more" in card
    assert ("| member | tiny |" in card) is (name == STACKED)
    program = card.partition("```python\n")[2].partition("```")[0]
    shutil.copy(paths[3], tmp_path / "photo.jpg")
    (tmp_path / "program.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("program.py")  # in a process without us: tests/unit/prediction/test_exporting.py
    label, probability = capsys.readouterr().out.strip().rsplit(" ", 1)
    [proba] = model.answers(_block(model, paths[3:4])).proba
    assert label == model.classes[int(proba.argmax())]
    assert float(probability) == pytest.approx(proba.max(), abs=2e-3)


@pytest.fixture
def blue(tmp_path: Path) -> str:
    """A plain blue square as a file."""
    Image.new("RGB", (60, 40), (0, 0, 255)).save(tmp_path / "blue.png")
    return str(tmp_path / "blue.png")


@pytest.mark.parametrize("name", [NETWORK, f"{BAYES}, clean split", STACKED])
def test_every_kind_of_model_tells_a_blue_square_from_its_training_images(
    name: str, store: Store, paths: list[str], blue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not _exit_code(store, "predict", blue, *paths, "--model", name, "--json")
    first, *rest = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["likeness"]["is_unlike"]
    of_training = [line for line in rest if line["likeness"]["nearest"][0]["distance"] < 0.01]
    assert len(of_training) >= 20  # of 36, three in four are trained on
    assert not any(line["likeness"]["is_unlike"] for line in of_training)
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["is_calibrated"]
    uncalibrated = pytest.approx(first["uncalibrated"], rel=1e-9)
    assert (first["probabilities"] == uncalibrated) is (name == STACKED)
    assert not _exit_code(store, "predict", blue, "--model", name)
    heading, row, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[-3:] == ["training", "images", "image"]
    assert row.split()[-2:] == ["unlike", blue]


def test_the_site_says_what_predict_says_and_keeps_nothing(
    store: Store, paths: list[str], blue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not _exit_code(store, "predict", paths[4], "--json")
    expected = json.loads(capsys.readouterr().out)
    place = "/".join(Catalogue(store).named(STACKED).place)
    stored = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    options = TrialOptions(store.address, device="cpu", own_learners=(BACKBONE,))
    with TestClient(site(options)) as client:
        assert f'value="{place}" selected' in client.get("/flowers17/try").text

        def answer(content: bytes, model: str = place) -> tuple[int, str]:
            reply = client.post(f"/flowers17/try?model={model}", content=content)
            return reply.status_code, reply.text

        status, text = answer(Path(paths[4]).read_bytes())
        assert (status, "Unlike all" in text) == (200, False)
        calibrated = sorted(expected["probabilities"].items(), key=lambda item: -item[1])
        shown = re.findall(r"<li><span>([^<]*)</span><meter [^>]*></meter><b>([^<]*)</b>", text)
        assert shown == [(name, f"{probability:.3f}") for name, probability in calibrated]
        for member in expected["members"]:
            assert f'<th scope="row">{member}</th>' in text
        nearest = re.findall(r"distance ([\d.]+)", text)
        distances = [neighbour["distance"] for neighbour in expected["likeness"]["nearest"]]
        assert nearest == [f"{distance:.2f}" for distance in distances]
        assert text.count('src="data:image/png;base64,') == len(nearest)
        assert place[:21] in text  # its lineage begins with itself
        process = trial_processes()
        assert "<strong>Unlike all training images.</strong>" in answer(Path(blue).read_bytes())[1]
        refusals = [
            answer(b"no image"),
            answer(b""),
            answer(b"x", f"training/{'f' * 64}"),
            answer(b"x", ""),
        ]
        assert [status for status, _ in refusals] == [400] * 4
        assert "expected an image" in refusals[0][1]
        assert "expected a name in the store" in refusals[2][1]
        assert trial_processes() == process  # with its model
        [pid] = process
        os.kill(pid, signal.SIGKILL)
        status, text = answer(Path(blue).read_bytes())
        assert (status, "try again" in text) in ((500, True), (200, False))
        assert answer(Path(blue).read_bytes())[0] == 200
    assert trial_processes() == []
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert after == stored


def trial_processes() -> list[int]:
    """Processes of this one that predict single photographs."""
    return [
        int(process.pid or 0)
        for process in multiprocessing.active_children()
        if process.name == "trial"
    ]


def test_a_damaged_member_is_refused(store: Store, paths: list[str], tmp_path: Path) -> None:
    copy = Store(shutil.copytree(store.root, tmp_path / "copy"))
    damaged = _artifacts(copy, "training")[NETWORK].path / "weights/000.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    assert _exit_code(copy, "predict", paths[0], "--model", STACKED) == 1
