"""A given test part through every kind of model to tables, results and card; no server."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.data.images import ImageSet, image_set
from flowers17.prediction.catalogue import refitted_scheme
from flowers17.reporting.records import score_of
from flowers17.request import request_from
from flowers17.stages import Stage, ensure, in_order
from flows import dataset, ensemble, features, finetune, learners
from tasks import images as image_stage
from tasks import report
from tests.support.tiny_backbone import BACKBONE

N_CLASSES, N_EACH, N_TEST_EACH = 3, 16, 4
TEST = np.flatnonzero(np.arange(N_CLASSES * N_EACH) % N_EACH >= N_EACH - N_TEST_EACH)
MAP = f"{{extractor: '{BACKBONE}', pooling: average}}"
SETTINGS = (
    f"dataset.n_classes={N_CLASSES}",
    f"dataset.images_per_class={N_EACH}",
    "dataset.image_size=32",
    "splits.n_repeats=2",
    "features.weights=random",
    f"features.table=[{MAP}]",
    "features.combinations=[]",
    "features.classifiers.random_forest.n_estimators=20",
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    "learners.plain=[tiny]",
    "learners.augmented=[]",
    "learners.best=[tiny]",
    "learners.best_splits=2",
    "learners.best_recipe={epochs: 1, batch_size: 9, resolutions: [1.0]}",
    "learners.recipe={epochs: 1, batch_size: 9}",
    "learners.precision=float32",
    f"fine_tuning.table=[{MAP}]",
    "fine_tuning.heads=[{optimizer: sgd}]",
    "fine_tuning.repeated=[]",
    "fine_tuning.own=[]",
    "fine_tuning.phase_a={epochs: 1, batch_size: 9}",
    "fine_tuning.phase_b={epochs: 1, batch_size: 9}",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[logistic_regression]",
    "ensemble.splits=[report]",
    "ensemble.ensembles=[{name: two, members: [{learner: tiny, augmentation: none}, "
    f"{{classifier: svm, maps: [{MAP}]}}]}}]",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Return a study's artifacts by label: its last images of each class are the test part."""
    return _built(tmp_path_factory.mktemp("study"), lambda images: images)


def _built(
    root: Path, change: Callable[[ImageSet], ImageSet], *, reports: bool = True
) -> dict[str, Artifact]:
    def with_parts(*args: Any, **rest: Any) -> ImageSet:
        images = image_set(*args, **rest)
        parts = np.full(len(images.labels), "train", object)
        parts[TEST] = "test"
        return change(replace(images, parts=tuple(parts)))

    request = request_from(SETTINGS)
    flows = {"data": dataset, "a1": learners, "b1": features, "b2": finetune, "a2": ensemble}
    parts = {name: flow.parts(request.settings, request.options) for name, flow in flows.items()}
    stages = [stage for of_flow in parts.values() for stage in of_flow]
    if reports:
        stages = [report.stage(request.settings, parts)]  # type: ignore[arg-type]
    store, references = Store(root), dict[str, Reference]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_stage, "image_set", with_parts)
        for stage in in_order(stages):
            references[stage.label] = _reference(stage, references, store)
    return {label: store.open(reference) for label, reference in references.items()}


def _reference(stage: Stage, references: dict[str, Reference], store: Store) -> Reference:
    inputs = {name: references[needed.label] for name, needed in stage.inputs.items()}
    return ensure(stage, inputs, store).reference


def _of(study: dict[str, Artifact], *stages: str) -> list[Artifact]:
    return [artifact for artifact in study.values() if artifact.reference.stage in stages]


def test_no_split_no_fold_and_no_group_holds_test_images_with_others(
    study: dict[str, Artifact],
) -> None:
    for split in study["splits"].json("splits")["splits"]:
        assert split["test"] == TEST.tolist()
        assert not set(split["train"] + split["validation"]) & set(TEST)
    for fold in _of(study, "fold"):
        rows = np.concatenate([fold.array("train"), fold.array("validation")])
        assert not set(rows) & set(TEST)
    (folds,) = _of(study, "folds")
    assert (folds.array("folds")[TEST] == -1).all()
    groups = study["duplicates"].array("groups")
    assert not set(groups[TEST]) & set(np.delete(groups, TEST))


def test_every_model_is_scored_on_the_test_part_by_the_model_that_was_validated(
    study: dict[str, Artifact],
) -> None:
    truth = study["splits"].array("labels")[TEST]

    def counts(proba: np.ndarray) -> dict[str, Any]:
        n_correct = int((proba.argmax(axis=1) == truth).sum())
        return {"n": len(TEST), "n_correct": n_correct, "by_class": None}

    networks = _of(study, "training", "finetuning", "fitted")
    networks = [model for model in networks if model.json("result")["kind"] != "fold"]
    assert {model.reference.stage for model in networks} == {"training", "finetuning", "fitted"}
    for model in networks:
        result = model.json("result")
        assert result["test"] == counts(model.array("proba")[TEST])
    classifiers = _of(study, "classifier")
    assert len(classifiers) == 5
    for model in classifiers:
        for result in model.json("result")["splits"]:
            proba = model.array(f"{result['name']}-test-proba")
            assert result["test"] == counts(proba)
    (stacking,) = _of(study, "stacking")
    result, (members,) = stacking.json("result"), _of(study, "out_of_fold")
    for method in result["methods"]:
        proba = stacking.array(f"{method['method']}-{method['by']}-test-proba")
        assert method["test"] == counts(proba)
    refit = members.array("refit")[TEST, :N_CLASSES]
    assert result["learners"][0]["refit_test"] == counts(refit)
    scheme = refitted_scheme(result)
    test = score_of({**result, **scheme}, "report").on_test
    assert test
    assert (test.n_correct, test.n_validation) == (scheme["test"]["n_correct"], len(TEST))


def test_the_report_tables_every_model_with_an_interval(study: dict[str, Artifact]) -> None:
    page = study["report"].file("index.html").read_text()
    table = json.loads(study["report"].file("results.json").read_text())["tables"]["T1"]
    groups = [row["group"] for row in table["rows"]]
    assert {group: groups.count(group) for group in groups} == {
        "Classifiers on features": 5,
        "Networks from scratch": 2,
        "Fine-tuned networks": 2,
        "Ensemble two": 2 * (2 + 3),
    }
    for row in table["rows"]:
        cell = row["cells"]["test"]
        assert cell["interval"][0] <= cell["value"] <= cell["interval"][1]
        assert "artifact" in cell
    own = next(row for row in table["rows"] if "our own recipe" in row["cells"]["model"]["value"])
    assert own["cells"]["fitted_on"]["value"] == "2 repeated splits"
    scores = [
        model.json("result")["test"]["n_correct"] / len(TEST)
        for model in _of(study, "training")
        if model.json("result")["kind"] == "repeated"
    ]
    assert own["cells"]["test"]["value"] == pytest.approx(sum(scores) / 2)
    assert 'id="table-t1"' in page
    assert "on the given test part" in page
    assert "T2" not in json.loads(study["report"].file("results.json").read_text())["tables"]


def test_test_images_choose_nothing(study: dict[str, Artifact], tmp_path: Path) -> None:
    def as_noise(images: ImageSet) -> ImageSet:
        noise = np.random.default_rng(0).integers(0, 256, images.images[TEST].shape, np.uint8)
        images.images[TEST] = noise
        return images

    other = _built(tmp_path, as_noise, reports=False)
    for label, artifact in study.items():
        is_network = artifact.reference.stage in ("training", "finetuning")
        for name in artifact.manifest["files"] if label != "report" else ():
            if name.endswith("-predicted.npy") or (is_network and "weights/" in name):
                array, twin = (each.array(name[:-4]) for each in (artifact, other[label]))
                assert np.array_equal(array, twin), (label, name)
    for name in ("duplicates", "folds of report split"):
        groups, twins = (each[name].array("groups") for each in (study, other))
        assert np.array_equal(np.delete(groups, TEST), np.delete(twins, TEST))
