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
from flowers17.data.images import ImageSet
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


def test_where_images_look_alike_identical_ones_are_kept_together_and_it_is_told(
    digits: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stages = _stages(_request(digits, "similar"))
    with caplog.at_level(logging.WARNING):
        duplicates = _built(stages, store, upto="duplicates")
    metrics = duplicates.manifest["metrics"]
    assert (metrics["kept_together"], metrics["n_pairs"]) == ("identical", N_CLASSES)
    assert metrics["n_look_alikes"] > N_CLASSES
    (message,) = caplog.messages
    assert message.startswith("near-duplicates: the images look alike by nature")
    sizes = np.bincount(duplicates.array("groups"))
    assert sorted(sizes.tolist())[-N_CLASSES - 1 :] == [1, *[2] * N_CLASSES]
    assert _built(stages, store).json("datasheet")["duplicates"]["divided"]["clean"] == 0


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
    metrics = {"n_pairs": 0, "kept_together": "none", "n_twins": 0}
    assert duplicates.manifest["metrics"] == metrics
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
def test_a_classifier_is_given_the_groups_of_the_duplicates(
    search: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups_read: list[np.ndarray | None] = []

    class Evaluated(Exception):
        """Nothing after it is of interest here."""

    def evaluate(*_: object, groups: np.ndarray | None, **__: object) -> list[SplitResult]:
        groups_read.append(groups)
        raise Evaluated

    monkeypatch.setattr("flowers17.transfer.classifier_evaluation.evaluate", evaluate)
    with pytest.raises(Evaluated):
        classifier.build(_job(tmp_path, 0, search=search))
    (groups,) = groups_read
    assert groups is not None
    assert groups.tolist() == GROUPS.tolist()


def _divided(
    store: Store, parts: str, groups: str = "", setting: str = "identical", *changes: str
) -> dict[str, Artifact]:
    """Build duplicates and splits of noise in two classes, the second half of class b as class a.

    parts, groups: a letter an image; `-` for none. Images of one letter, in upper case, in groups
    have identical pixels.
    """
    n = len(parts)
    images = np.random.default_rng(1).integers(0, 256, (n, 16, 16, 3), np.uint8)
    for row, letter in enumerate(groups):
        if letter.isupper():
            images[row] = images[groups.index(letter)]
    names = {"t": "train", "v": "validation", "x": "test", "-": ""}
    source = ImageSet(
        images,
        np.arange(n) // (n // 2),
        tuple(f"{row:02d}.png" for row in range(n)),
        ("a", "b"),
        ("0" * 64,) * n,
        ((16, 16),) * n,
        {"kind": "own", "digest": None},
        None,
        tuple(names[letter] for letter in parts) if set(parts) != {"-"} else (),
        tuple(letter if letter.islower() else "" for letter in groups),
    )
    maker = Maker(store.root)
    pictures = maker.publish(
        "images",
        f"{parts} {groups} {setting}",
        {},
        {"images": source.images, "labels": source.labels},
        {"items": source.items()},
    )
    stages = _stages(request_from([*changes, "splits.n_repeats=3"], dataset="rendered"))
    references = {"images": pictures.reference}
    for name in ("duplicates", "splits"):
        stage = stages[name]
        inputs = {role: references[role] for role in stage.inputs}
        references[name] = ensure(stage, inputs, store).reference
    return {name: store.open(reference) for name, reference in references.items()}


def _rows(artifacts: Mapping[str, Artifact]) -> list[Split]:
    return [Split.from_json(value) for value in artifacts["splits"].json("splits")["splits"]]


def test_a_given_test_part_is_in_no_fold_and_a_given_validation_part_is_the_reports(
    tmp_path: Path,
) -> None:
    parts = "ttttttvvxx" * 2
    report, clean, *repeats = _rows(_divided(Store(tmp_path), parts))
    test = [row for row, letter in enumerate(parts) if letter == "x"]
    assert report.validation.tolist() == [6, 7, 16, 17] == clean.validation.tolist()
    assert report.seed is not None
    for split in (report, clean, *repeats):
        assert split.test.tolist() == test
        every = np.sort(np.concatenate([split.train, split.validation, split.test]))
        assert every.tolist() == list(range(20))
    assert len({tuple(split.validation) for split in repeats}) > 1


def test_what_must_stay_together_is_one_relation_without_the_test_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Rows 0 and 1 are one group, 2 and 3 another, 0 and 3 are identical; 8 and 9 are test images.
    parts = "ttttttttxx" + "ttttttttxx"
    groups = "--pp----p-" + "----------"
    groups = "P" + "-" + "pp" + "----" + "pP" + groups[10:]
    with caplog.at_level(logging.WARNING):
        artifacts = _divided(Store(tmp_path), parts, groups)
    group_of = artifacts["duplicates"].array("groups").tolist()
    assert group_of[2] == group_of[3]
    assert len({group_of[row] for row in (0, 2, 8, 9)}) == 4
    (message,) = caplog.messages
    assert message.startswith("the test part: 2 of its images")
    assert message.endswith("08.png, 09.png")
    assert artifacts["duplicates"].manifest["metrics"]["n_twins"] == 2
    for split in _rows(artifacts)[1:]:
        assert (2 in split.train) == (3 in split.train)


@pytest.mark.parametrize("parts", ["vvvvvttttt", "tttttvvvvv", "tttttxxxxx"])
def test_a_class_that_is_in_one_part_alone_is_refused_by_name(parts: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"class (a|b): expected images"):
        _divided(Store(tmp_path), parts)


def test_identical_images_of_two_classes_are_an_error_or_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, groups = Store(tmp_path), "Q---------" + "--Q-------"
    problem = r"one class for identical pixels, got two: .*00\.png = .*12\.png"
    with pytest.raises(InvalidInput, match=problem):
        _divided(store, "-" * 20, groups)
    _divided(store, "-" * 20, groups, "similar", "splits.contradictions=warning")
    assert any("00.png = 12.png" in message for message in caplog.messages)
