"""Which images count as near-duplicates, from the setting to splits and searches; no server."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.config import CombinationSettings, FeatureMapSettings
from flowers17.data.splits import Split, study_splits
from flowers17.errors import InvalidInput
from flowers17.request import StudyRequest, request_from
from flowers17.stages import Job, Stage, ensure, in_order, stage_key
from flowers17.transfer.classifier_evaluation import SplitResult
from flowers17.transfer.rowspace import row_space
from flows import dataset, features
from tasks import classifier
from tests.unit.reporting.maker import Maker
from tests.unit.transfer.made_features import feature_case

N_CLASSES, N_EACH = 4, 20
GROUPS = np.arange(80)
GROUPS[[1, 2, 18]] = [0, 0, 17]
MAPS = (FeatureMapSettings(extractor="mobilenet"),)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of handwritten digits, the first of each class there twice."""
    root, digits = tmp_path_factory.mktemp("digits"), load_digits()
    for label in range(N_CLASSES):
        folder = root / str(label)
        folder.mkdir()
        for k, row in enumerate(np.flatnonzero(digits.target == label)[:N_EACH]):
            pixels = np.round(digits.images[row] * 255 / 16).astype(np.uint8)
            large = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
            large.save(folder / f"{k:02d}.png")
        (folder / "copy.png").write_bytes((folder / "00.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store that the module's tests share, so that images are read once."""
    return Store(tmp_path_factory.mktemp("store"))


def _request(source: Path | str, near_duplicates: str) -> StudyRequest:
    changes = [
        f"splits.near_duplicates={near_duplicates}",
        "splits.n_repeats=2",
        "dataset.image_size=64",
    ]
    return request_from(changes, dataset=str(source))


def _stages(request: StudyRequest) -> dict[str, Stage]:
    every = in_order(dataset.parts(request.settings, request.options))
    return {stage.name: stage for stage in every}


def _built(stages: Mapping[str, Stage], store: Store, upto: str = "datasheet") -> Artifact:
    references: dict[str, Reference] = {}
    for name, stage in stages.items():
        inputs = {role: references[source.name] for role, source in stage.inputs.items()}
        references[name] = ensure(stage, inputs, store).reference
        if name == upto:
            break
    return store.open(references[upto])


def test_images_that_look_alike_are_one_group_and_the_way_out_is_told(
    digits: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stages = _stages(_request(digits, "similar"))
    with caplog.at_level(logging.WARNING):
        duplicates = _built(stages, store, upto="duplicates")
    n_images = N_CLASSES * (N_EACH + 1)
    largest = int(np.bincount(duplicates.array("groups")).max())
    assert duplicates.manifest["metrics"]["oversized_group"] == largest > n_images / 2
    assert caplog.messages == [
        f"near-duplicates: one group holds {largest} of {n_images} images; if they only look "
        "alike, set splits.near_duplicates to identical or none"
    ]
    with pytest.raises(InvalidInput, match=r"set splits\.near_duplicates to identical or none"):
        _built(stages, store)


def test_images_of_identical_pixels_are_kept_together_alone(digits: Path, store: Store) -> None:
    stages = _stages(_request(digits, "identical"))
    pairs = _built(stages, store, upto="duplicates").json("pairs")
    assert [(pair["first_name"], pair["second_name"]) for pair in pairs] == [
        (f"{label}/00.png", f"{label}/copy.png") for label in range(N_CLASSES)
    ]
    assert {pair["method"] for pair in pairs} == {"identical pixels"}
    assert _built(stages, store).json("datasheet")["duplicates"]["divided"]["clean"] == 0


def test_nothing_is_searched_for_and_clean_splits_are_plain(digits: Path, store: Store) -> None:
    stages = _stages(_request(digits, "none"))
    duplicates = _built(stages, store, upto="duplicates")
    assert duplicates.json("pairs") == []
    assert duplicates.manifest["metrics"] == {"n_pairs": 0}
    report, clean, *_ = _built(stages, store, upto="splits").json("splits")["splits"]
    assert clean["validation"] == report["validation"]


def test_the_setting_is_in_the_key_of_duplicates_and_reaches_others_by_their_groups() -> None:
    every = [_stages(_request("rendered", setting)) for setting in ("similar", "none")]
    references = {name: Reference(name, "a" * 64, "1" * 64) for name in ("images", "duplicates")}
    for name, n_keys in (("duplicates", 2), ("splits", 1)):
        keys = {stage_key(stages[name], references) for stages in every}
        assert len(keys) == n_keys


def test_a_search_alone_reads_the_near_duplicates() -> None:
    request = request_from()
    combinations = [
        CombinationSettings(maps=MAPS, classifier="svm", search=search) for search in (True, False)
    ]
    changed_features = request.settings.features.model_copy(
        update={"combinations": tuple(combinations)}
    )
    settings = request.settings.model_copy(update={"features": changed_features})
    *_, searched, plain = features.parts(settings, request.options)
    assert searched.inputs["duplicates"].name == "duplicates"
    assert "duplicates" not in plain.inputs


def _job(folder: Path, n_repeats: int, *, search: bool = False) -> Job:
    """Return the job of a classifier on made rows, over a study's splits and an official one."""
    case, maker = feature_case(widths=(40,)), Maker(folder / "store")
    official = Split("official-1", "official", None, np.arange(0, 80, 2), np.arange(1, 80, 2))
    divided = study_splits(
        case.labels,
        GROUPS,
        validation_fraction=0.25,
        n_repeats=n_repeats,
        seed=3,
        official=[official],
    )
    listed = {"splits": [split.to_json() for split in divided]}
    inputs = {
        "rows": maker.publish("rows", "rows", {}, {"rows": row_space(case.maps)}, {}),
        "duplicates": maker.publish("duplicates", "duplicates", {}, {"groups": GROUPS}, {}),
        "splits": maker.publish(
            "splits", "splits", {}, {"labels": case.labels}, {"splits": listed}
        ),
    }
    built = folder / "built"
    built.mkdir()
    config: dict[str, Any] = {
        "maps": ["mobilenet"],
        "classifier": "knn",
        "hyperparameters": {},
        "n_components": None,
        "search": search,
    }
    return Job(config, 1, inputs, {}, store=maker.store, folder=built, unfinished=folder / "u")


@pytest.mark.parametrize("n_repeats", [0, 2])
def test_the_mean_of_a_classifier_is_over_repeated_clean_splits_alone(
    n_repeats: int, tmp_path: Path
) -> None:
    job = _job(tmp_path, n_repeats)
    metrics = classifier.build(job)
    result = json.loads((job.folder / "result.json").read_text())
    scores = {score["name"]: score["accuracy"] for score in result["splits"]}
    expected = {f"accuracy ({name})": round(scores[name], 4) for name in ("report", "clean")}
    if n_repeats:
        mean = (scores["repeat-01"] + scores["repeat-02"]) / 2
        expected["mean accuracy (clean splits)"] = round(mean, 4)
    assert "official-1" in scores
    assert metrics == expected


@pytest.mark.parametrize("search", [True, False])
def test_a_search_is_given_the_groups_of_the_duplicates(
    search: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups_read: list[np.ndarray | None] = []

    def evaluate(*_: object, groups: np.ndarray | None, **__: object) -> list[SplitResult]:
        groups_read.append(groups)
        return []

    monkeypatch.setattr("flowers17.transfer.classifier_evaluation.evaluate", evaluate)
    classifier.build(_job(tmp_path, 0, search=search))
    (groups,) = groups_read
    assert (groups is not None and groups.tolist() == GROUPS.tolist()) == search
