"""The stage `fitted`: no test image is fitted on, and what it never stores is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.config import CombinationSettings, DatasetSettings, StudySettings
from flowers17.errors import ArtifactDamaged
from flowers17.prediction.classifiers import Classifier
from flowers17.prediction.fitted_classifier import FittedClassifier
from flowers17.prediction.models import Loader, open_model
from flowers17.stages import Stage, ensure
from flowers17.transfer.rowspace import row_space
from tasks import classifier as classifier_stages
from tasks import split
from tests.support.image_files import class_folders
from tests.support.tiny_training import prepared
from tests.unit.prediction.made_models import Maker

N, N_CLASSES = 60, 3
LABELS = np.arange(N) % N_CLASSES
PARTS = ["test" if row % 5 == 4 else "train" for row in range(N)]
SETTINGS = StudySettings.model_validate(
    {"features": {"classifiers": {"random_forest": {"n_estimators": 20}}}}
)
TEST = np.flatnonzero(np.array(PARTS) == "test")
VALIDATION = np.array([0, 1, 2, 3])


def _features() -> np.ndarray:
    draws = np.random.default_rng(4)
    centres = draws.standard_normal((N_CLASSES, 12))
    return np.abs(centres[LABELS] + draws.standard_normal((N, 12))).astype(np.float32)


def _built(
    folder: Path,
    classifier: str,
    features: np.ndarray,
    n_components: int | None = None,
    settings: StudySettings = SETTINGS,
    labels: np.ndarray = LABELS,
) -> tuple[Artifact, Artifact]:
    """The split of all images and the fitted classifier, built on features in a new store."""
    maker = Maker(Store(folder))
    items = {"names": [str(row) for row in range(N)], "parts": PARTS}
    parts: dict[str, Any] = {"train": [], "test": [], "seed": None}
    each_split = [
        {**parts, "name": name, "kind": name, "validation": validation.tolist()}
        for name, validation in (("report", VALIDATION + 10), ("clean", VALIDATION))
    ]
    scores = [
        {**each, "n_train": 40, "n_validation": 4, "n_correct": n_correct}
        for each, n_correct in zip(each_split, (4, 3), strict=True)
    ]
    images = maker.publish("images", "images@8", {"items": items}, config={"size": 8})
    values = {"splits": {"splits": each_split}, "classes": ["a", "b", "c"]}
    splits = maker.publish("splits", "splits", values, {"labels": labels})
    inputs = {"images": images}
    vgg16 = maker.publish("features", "features vgg16", {}, {"features": features}, inputs=inputs)
    rows = maker.publish("rows", "rows vgg16", {}, {"rows": row_space([features])})
    measures = maker.publish("classifier", "measured", {"result": {"splits": scores}})
    published = {"images": images, "splits": splits, "measures": measures, "rows": rows}
    published["vgg16"] = vgg16
    stages = {name: Stage.of(name, name, "tasks.rows:build") for name in published}

    def built(stage: Stage) -> Artifact:
        given = {name: published[name].reference for name in stage.inputs}
        return maker.store.open(ensure(stage, given, maker.store).reference)

    every_image = split.of_all_images(stages["images"], stages["splits"])
    published["split"] = built(every_image)
    combination = CombinationSettings.model_validate(
        {
            "maps": [{"extractor": "vgg16"}],
            "classifier": classifier,
            "n_components": n_components,
        }
    )
    stage = classifier_stages.fitted_stage(
        settings,
        combination,
        [stages["vgg16"]],
        stages["rows"],
        every_image,
        stages["measures"],
    )
    return published["split"], built(stage)


def test_all_images_are_those_of_no_test_part(tmp_path: Path) -> None:
    every_image, artifact = _built(tmp_path, "naive_bayes", _features())
    assert every_image.array("train").tolist() == [row for row in range(N) if PARTS[row] != "test"]
    assert every_image.array("validation").tolist() == VALIDATION.tolist()
    result = artifact.json("result")
    assert (result["n_train"], result["kind"]) == (N - len(TEST), "all")
    measured = {name: result["measured"][name] for name in ("split", "n_correct", "n_validation")}
    assert measured == {"split": "clean", "n_correct": 3, "n_validation": 4}


@pytest.mark.parametrize(
    "classifier", ["naive_bayes", "svm", "logistic_regression", "random_forest"]
)
def test_classes_of_unequal_size_count_alike_where_that_is_set(
    classifier: str, tmp_path: Path
) -> None:
    labels = np.where(np.arange(N) % 10 == 0, 1 + np.arange(N) // 10 % 2, 0)
    source = str(class_folders(tmp_path / "data", {"daisy": 2, "iris": 2}))
    dataset = {"resize": "pad", "source": source}
    shares, settings = [], SETTINGS.model_copy(update={"dataset": DatasetSettings(**dataset)})
    for weight in ("none", "balanced"):
        weighted = settings.model_copy(update={"class_weight": weight})
        _, artifact = _built(
            tmp_path / weight, classifier, _features(), settings=weighted, labels=labels
        )
        shares.append(artifact.array("proba")[:, 0].mean())
        result = artifact.json("result")
        assert [n_images for _, n_images in result["by_class"]] == [3, 1, 0]
        model = open_model(artifact.manifest, Loader(Store(tmp_path / weight), device="cpu"))
        assert model.resize == "pad"
    assert shares[0] > shares[1] + 0.001


@pytest.mark.parametrize("n_components", [None, 4])
@pytest.mark.parametrize(
    "classifier", ["naive_bayes", "knn", "svm", "logistic_regression", "random_forest"]
)
def test_other_test_images_give_the_same_classifier(
    classifier: str, n_components: int | None, tmp_path: Path
) -> None:
    features = _features()
    others = features.copy()
    others[TEST] = np.random.default_rng(9).random((len(TEST), 12), np.float32)
    probas = []
    for number, each in enumerate((features, others)):
        _, artifact = _built(tmp_path / str(number), classifier, each, n_components)
        probas.append(np.delete(artifact.array("proba"), TEST, axis=0))
        stored = FittedClassifier.stored(artifact)
        assert not np.isin(stored.arrays.get("rows", []), TEST).any()
        named = [name for name in artifact.manifest["files"] if name.endswith(".npy")]
        assert len(named) == len(stored.arrays) + 1
    # Row space is spanned by all images, which changes the last digits of coordinates.
    np.testing.assert_allclose(*probas, atol=2e-3 if classifier == "logistic_regression" else 1e-6)


@pytest.mark.parametrize(
    ("kind", "arrays"),
    [
        ("pickle", {"weights": np.zeros((12, 3)), "bias": np.zeros(3)}),
        ("linear", {"weights": np.zeros((12, 3))}),
        ("linear", {"weights": np.zeros((11, 3)), "bias": np.zeros(3)}),
        ("linear", {"weights": np.zeros((12, 4)), "bias": np.zeros(4)}),
        ("linear", {"weights": np.full((12, 3), np.nan), "bias": np.zeros(3)}),
        ("linear", {"weights": np.full((12, 3), "text"), "bias": np.zeros(3)}),
        ("kernel", {"weights": np.zeros((1, 3)), "bias": np.zeros(3), "rows": np.array([N])}),
        ("neighbours", {"labels": np.array([-1]), "rows": np.array([0])}),
    ],
    ids=[
        *("an unknown kind", "no bias", "other columns", "other classes", "no numbers", "text"),
        *("images that are not there", "no class"),
    ],
)
def test_numbers_that_it_never_stores_are_refused(
    kind: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    maker = Maker(Store(tmp_path))
    images = maker.publish("images", "images@8", {}, config={"size": 8})
    inputs = {"images": images}
    vgg16 = maker.publish(
        "features", "features vgg16", {}, {"features": _features()}, inputs=inputs
    )
    options = {
        "voted": False,
        "kernel": "rbf",
        "gamma": 1.0,
        "n_neighbors": 1,
        "weights": "uniform",
    }
    artifact = maker.publish(
        "fitted",
        "linear on vgg16",
        {
            "result": {"classes": ["a", "b", "c"]},
            "classifier": {"kind": kind, "options": options, "arrays": sorted(arrays)},
        },
        {f"classifier-{name}": array for name, array in arrays.items()},
        config={"maps": ["vgg16"]},
        inputs={"vgg16": vgg16},
    )

    def summarise() -> None:
        model = open_model(artifact.manifest, Loader(maker.store, device="cpu"))
        assert isinstance(model, Classifier)
        model.network.summary()

    with prepared(), pytest.raises(ArtifactDamaged):
        summarise()
